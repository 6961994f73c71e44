"""Grammars that llama.cpp walks through for ever: nobody has to wait for that.

A grammar may pass every check and still have twice as many readings after each character. The walk cannot be
interrupted, so each test has a process of its own, which ends with the walk still going on.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

SETTING = r"""
import sys, time
import pyollama

# Eight readings of every "a": after a few tokens of them the walk does not end.
ALTERNATIVES = " | ".join(f'"a" s "{end}"' for end in "bcdefghi")
options = {
    "grammar": f'root ::= s\ns ::= {ALTERNATIVES} | "z"',
    "temperature": 0,
    "logit_bias": {"a": 100, "aa": 50},
    "stop": [],
}
llm = pyollama.LLM("tiny")
stream = llm.generate("a", raw=True, stream=True, options=options)
for n, chunk in enumerate(stream):
    if n == 2:
        break
time.sleep(1)  # now it walks
begin = time.monotonic()
"""


def run(code: str) -> str:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))\n"
    result = subprocess.run(
        [sys.executable, "-P", "-c", limit + SETTING + code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.timeout(90)
def test_cancel_does_not_wait() -> None:
    """Would catch a cancelled request that keeps its place in the context, and its reader, until the walk ends."""
    code = """
stream.close()
while llm.engine.status()["n_running"]:
    assert time.monotonic() - begin < 10
    time.sleep(0.01)
print("free", llm.generate("Hello", options={"grammar": 'root ::= "yes"'}).text)
import os; sys.stdout.flush(); os._exit(0)
"""
    assert run(code) == "free yes\n"


@pytest.mark.timeout(90)
def test_a_slow_choice_ends_its_request_only() -> None:
    """Would catch a reader that waits for ever, and other constrained requests behind the slow one."""
    code = """
assert llm.generate("Hello", options={"grammar": 'root ::= "yes"'}).text == "yes"
try:
    for chunk in stream:
        pass
except pyollama.GrammarError as error:
    print(error)
assert time.monotonic() - begin < 30
import os; sys.stdout.flush(); os._exit(0)
"""
    assert "too slow" in run(code)


@pytest.mark.timeout(90)
def test_close_and_exit_do_not_wait() -> None:
    """Would catch close(), or the end of the program, behind a walk that does not end."""
    assert run("llm.close()\nprint(time.monotonic() - begin < 10)\n") == "True\n"
    assert run("print('leaving')\n") == "leaving\n"
