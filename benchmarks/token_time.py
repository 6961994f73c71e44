"""Where the time of a token goes: processor time of each thread of server and runner, for one stream of `tiny`.

    python -m benchmarks.token_time

Linux only: it reads /proc. The two busiest threads of the runner compute (they spin while they wait for each other);
the next one of it collects tokens and sends them; the server's main thread writes the lines.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from benchmarks.http import exchange, generate
from benchmarks.http import server as running_server

TOKENS = 2000


def thread_seconds(pid: int) -> dict[int, float]:
    """Processor time of each thread of a process, in seconds."""
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        found[int(task.name)] = (int(fields[11]) + int(fields[12])) / tick  # utime and stime, see proc(5)
    return found


def main() -> None:
    """Print microseconds for each token."""
    with running_server() as port:
        exchange(port, "/api/generate", generate("tiny", 64))
        (process,) = psutil.Process().children()
        server = process.pid
        (runner,) = process.children()
        before = {pid: thread_seconds(pid) for pid in (server, runner.pid)}
        began = time.perf_counter()
        _, (answer,) = exchange(port, "/api/generate", generate("tiny", TOKENS))
        wall = time.perf_counter() - began
        lines = len(answer.lines())
        after = {pid: thread_seconds(pid) for pid in before}
    print(
        f"{TOKENS} tokens in {lines} lines: {TOKENS / wall:.0f} tokens/s, {wall / TOKENS * 1e6:.0f} us each"
    )
    for name, pid in (("runner", runner.pid), ("server", server)):
        spent = sorted(
            (seconds - before[pid].get(thread, 0.0), thread) for thread, seconds in after[pid].items()
        )
        for seconds, thread in reversed(spent):
            if seconds > 0:
                print(f"  {name} thread {thread - pid:+d}: {seconds / TOKENS * 1e6:.0f} us")


if __name__ == "__main__":
    main()
