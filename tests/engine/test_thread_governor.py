"""How many threads compute: fewer while other programs crowd the processors, all of them otherwise."""

from __future__ import annotations

import pytest

from pyollama.native.thread_governor import ThreadGovernor

QUIET = {"microseconds": 500.0, "preemptions": 0}
# What barriers cost on a crowded machine: a step takes slices of the scheduler, threads are set aside all the time.
STUCK = {"microseconds": 300e3, "preemptions": 90}
# One thread on the same machine: it loses half of its time and waits for nobody.
ALONE = {"microseconds": 1500.0, "preemptions": 1}


def run(governor: ThreadGovernor, seconds: float, step: dict[str, float], **more: object) -> None:
    for _ in range(int(seconds * 1e6 / step["microseconds"]) + 1):
        governor.observe(**step, **more)


def crowded(governor: ThreadGovernor, seconds: float) -> None:
    """Steps as a crowded machine gives them, by the number of threads."""
    spent = 0.0
    while spent < seconds * 1e6:
        step = ALONE if governor.threads == 1 else STUCK
        governor.observe(**step, crowded=True)
        spent += step["microseconds"]


def test_keeps_all_threads_on_a_quiet_machine() -> None:
    """Would catch a governor that gives up speed without a reason."""
    governor = ThreadGovernor(2)
    run(governor, 30, QUIET)
    assert governor.threads == 2


def test_keeps_all_threads_where_only_the_caller_interrupts() -> None:
    """Would catch trials of fewer threads because whoever reads a stream wakes for every token."""
    governor = ThreadGovernor(2)
    for _ in range(5_000):
        governor.observe(microseconds=10e3, preemptions=2)
        assert governor.threads == 2


def test_one_thread_on_a_crowded_machine_after_a_few_steps() -> None:
    """Would catch waiting at barriers for threads that the system has set aside."""
    governor = ThreadGovernor(2)
    for _ in range(4):
        governor.observe(**(ALONE if governor.threads == 1 else STUCK), crowded=True)
    run(governor, 0.1, ALONE, crowded=True)
    assert governor.threads == 1


def test_stays_with_one_thread_and_hardly_ever_tries_more() -> None:
    """Would catch a governor that stalls a stream again and again to find out what it knows."""
    governor = ThreadGovernor(2)
    crowded(governor, 2)
    tries = 0
    before = governor.threads
    for _ in range(40_000):  # a minute
        governor.observe(**(ALONE if governor.threads == 1 else STUCK), crowded=True)
        tries += governor.threads > before
        before = governor.threads
    assert tries <= 4


def test_goes_back_when_there_is_room() -> None:
    """Would catch a model that stays slow after the other program has ended."""
    governor = ThreadGovernor(2)
    crowded(governor, 2)
    assert governor.threads == 1
    for _ in range(2_000):
        governor.observe(microseconds=900.0 if governor.threads == 1 else 500.0)
    assert governor.threads == 2


def test_keeps_all_threads_where_fewer_are_slower() -> None:
    """Would catch judging by preemption alone: a large model works on with all threads beside another program."""
    governor = ThreadGovernor(8)
    for _ in range(2_000):
        governor.observe(microseconds=50e3 * (1 + 8 / governor.threads), preemptions=40, crowded=True)
    assert governor.threads == 8


def test_finds_the_middle_with_many_threads() -> None:
    """Would catch a fall to one thread where one thread less is enough."""
    governor = ThreadGovernor(8)
    for _ in range(20_000):
        free = governor.threads <= 6
        governor.observe(
            microseconds=8_000.0 / governor.threads if free else 60e3,
            preemptions=0 if free else 30,
            crowded=not free or governor.threads == 6,
        )
    assert governor.threads == 6


def test_prompts_and_generation_are_not_compared() -> None:
    """Would catch a cheap prompt token being taken for a gain over an expensive generated one."""
    governor = ThreadGovernor(2)
    governor.observe(**STUCK, crowded=True)
    assert governor.threads == 1
    for step in range(50):
        governor.observe(microseconds=20e3, n_tokens=512, prompt=True, crowded=True)
        assert step == 0 or governor.threads == 2, "nobody knows yet what one thread costs"


@pytest.mark.parametrize("threads", [1, 0])
def test_one_thread_is_left_alone(threads: int) -> None:
    """Would catch a governor that goes below one."""
    governor = ThreadGovernor(threads)
    run(governor, 5, STUCK, crowded=True)
    assert governor.threads == threads


def test_a_trial_that_began_with_a_prompt_ends() -> None:
    """Would catch a trial that waits for a second prompt while a long answer is generated with the wrong threads."""
    quiet = ThreadGovernor(2)
    quiet.observe(microseconds=40e3, n_tokens=20, preemptions=30, prompt=True, crowded=True)
    for _ in range(2_000):
        quiet.observe(**QUIET)
    assert quiet.threads == 2
    busy = ThreadGovernor(8)
    busy.observe(microseconds=400e3, n_tokens=20, preemptions=300, prompt=True, crowded=True)
    for _ in range(30):
        busy.observe(**(ALONE if busy.threads == 1 else STUCK), crowded=True)
    for _ in range(200):
        busy.observe(**(ALONE if busy.threads == 1 else STUCK), crowded=True)
    assert busy.threads == 1
