"""The server of one ``run``: it is there when it is needed, and never afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from pyollama.cli.client import ConnectionLost, CouldNotConnect
from pyollama.cli.private_server import ServerDidNotStart, private_server, some_server
from pyollama.settings import ServerAddress

from .played import PlayedServer
from .program import LIMIT

# A server as far as this module is concerned: it listens, tells where, and ends with its standard input.
SERVER = """
import os, pathlib, socket, subprocess, sys, threading, time
fd = int(sys.argv[-1].removeprefix("--announce-fd="))
pathlib.Path("pid").write_text(str(os.getpid()))
listening = socket.create_server(("127.0.0.1", 0))
def announce():
    os.write(fd, f"http://127.0.0.1:{listening.getsockname()[1]}\\n".encode())
    os.close(fd)
"""
GOOD = "announce()\nsys.stdin.read()\npathlib.Path('ended').touch()\n"
STUBBORN = "announce()\ntime.sleep(600)\n"
WITH_RUNNER = """
runner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path("runner").write_text(str(runner.pid))
announce()
time.sleep(600)
"""


def command(code: str) -> list[str]:
    return [sys.executable, "-P", "-c", SERVER + textwrap.dedent(code)]


def has_gone(file: str = "pid", within: float = 20.0) -> bool:
    """Whether the process whose id is in a file has ended."""
    process_id = int(Path(file).read_text())
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(process_id) or psutil.Process(process_id).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def test_start_and_end() -> None:
    """Catches a server that nobody can reach, or that is killed instead of asked."""
    with private_server(command(GOOD)) as address:
        assert (address.scheme, address.host) == ("http", "127.0.0.1")
        assert address.port > 0
        assert not has_gone(within=0)
    assert Path("ended").exists()
    assert has_gone()


def test_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a server on the user's port, and one that lacks the user's settings."""
    monkeypatch.setenv("OLLAMA_KEEP_ALIVE", "7m")
    report = "pathlib.Path('seen').write_text(f\"{os.environ['OLLAMA_HOST']} {os.environ['OLLAMA_KEEP_ALIVE']}\")\n"
    with private_server(command(report + GOOD)):
        assert Path("seen").read_text() == "127.0.0.1:0 7m"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_end_by_an_error(error: type[BaseException]) -> None:
    """Catches a server that outlives an error, or hides it."""
    with pytest.raises(error), private_server(command(GOOD)):
        raise error
    assert has_gone()


def test_stubborn_server() -> None:
    """Catches a command that hangs because its server does, and runners that stay."""
    begin = time.monotonic()
    with private_server(command(WITH_RUNNER), end_seconds=0.2):
        pass
    assert time.monotonic() - begin < 20
    assert has_gone()
    assert has_gone("runner")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.exit('Error: no space left')\n", "the server could not start: no space left"),
        (
            "print('first'); sys.exit('last')\n",
            "the server could not start: it ended before it listened:\nfirst\nlast",
        ),
        ("os._exit(3)\n", "the server could not start: it ended before it listened"),
        ("print('x' * 5000, flush=True); os._exit(3)\n", "it ended before it listened:\nx"),
        ("os.write(fd, b'http://127'); os._exit(3)\n", "it ended before it listened"),
        ("os.write(fd, b'x' * 5000); time.sleep(600)\n", "it ended before it listened"),
        ("os.close(fd); time.sleep(600)\n", "it ended before it listened"),
    ],
)
def test_failed_start(code: str, message: str) -> None:
    """Catches a failure without its reason, and a process that is left."""
    with pytest.raises(ServerDidNotStart) as caught, private_server(command(code), end_seconds=0.1):
        pytest.fail("it started")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 10_200
    assert has_gone()


def test_silent_start() -> None:
    """Catches a wait without end."""
    with (
        pytest.raises(ServerDidNotStart, match=r"it has not begun to listen within 0\.2 seconds"),
        private_server(command("time.sleep(600)"), start_seconds=0.2, end_seconds=0.1),
    ):
        pytest.fail("it started")


def test_nothing_to_start() -> None:
    """Catches descriptors that are left when there is no such program."""
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with pytest.raises(FileNotFoundError), private_server(["/no/such/program"]):
        pytest.fail("it started")
    assert before == (os.listdir("/proc/self/fd") if before else [])


def test_crash() -> None:
    """Catches a lost connection without the reason that the server printed."""
    code = "announce()\nprint('out of memory', flush=True)\nos._exit(9)\n"
    with pytest.raises(ConnectionLost) as caught, private_server(command(code)):
        raise ConnectionLost("the connection ended")
    assert str(caught.value) == "the connection ended; its last output:\nout of memory"
    with pytest.raises(ConnectionLost) as caught, private_server(command(GOOD)):
        raise ConnectionLost("the connection ended")
    assert str(caught.value) == "the connection ended", "the server is still there"


def test_much_output() -> None:
    """Catches a server that stops because nobody reads what it prints."""
    code = "for n in range(50_000): print('line', n)\n" + GOOD
    with private_server(command(code)):
        pass
    assert Path("ended").exists()


PARENT = """
import sys, time
from pyollama.cli.private_server import private_server
with private_server({command!r}):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize(
    ("number", "code", "server"),
    [
        (signal.SIGTERM, 128 + signal.SIGTERM, GOOD),
        (signal.SIGHUP, 128 + signal.SIGHUP, GOOD),
        (signal.SIGINT, -signal.SIGINT, GOOD),
        (signal.SIGKILL, -signal.SIGKILL, GOOD),
    ],
)
def test_end_by_a_signal(number: int, code: int, server: str) -> None:
    """Catches a server that stays when the program that it was for has been ended."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", PARENT.format(command=command(server))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(LIMIT) == code
    assert has_gone()
    assert Path("ended").exists()


def test_ctrl_c_does_not_reach_it() -> None:
    """Catches a server that ends with the answer: Ctrl-C is sent to all processes of a terminal's job."""
    code = "announce()\npathlib.Path('group').write_text(str(os.getpgid(0)))\n" + GOOD.partition("\n")[2]
    with private_server(command(code)):
        deadline = time.monotonic() + 20
        while not (Path("group").exists() and Path("group").read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert int(Path("group").read_text()) != os.getpgid(0)


def test_signal_handlers_are_put_back() -> None:
    """Catches a program whose SIGTERM means something else afterwards."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with private_server(command(GOOD)):
        assert signal.getsignal(signal.SIGTERM) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_running_server(server: PlayedServer) -> None:
    """Catches a second server where one is running."""
    with some_server(server.url) as client:
        assert client.address == ServerAddress.parse(server.url)


def test_when_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a server of our own in place of another machine's, or of one that is there and refuses."""
    started = []

    def start() -> None:
        started.append(1)
        raise ServerDidNotStart("started")

    monkeypatch.setattr("pyollama.cli.private_server.private_server", start)
    for host in (os.environ["OLLAMA_HOST"], f"http://localhost:{os.environ['OLLAMA_HOST'].split(':')[1]}"):
        with pytest.raises(ServerDidNotStart), some_server(host):
            pass
    assert len(started) == 2
    port = os.environ["OLLAMA_HOST"].split(":")[1]
    with pytest.raises(CouldNotConnect), some_server(f"0.0.0.0:{port}"):
        pass
    assert len(started) == 2


def test_server_that_refuses(server: PlayedServer) -> None:
    """Catches a server of our own where another program has an answer, but not this one."""
    server.answers["HEAD /"] = (403, b"")
    with pytest.raises(Exception, match="403 Forbidden"), some_server(server.url):
        pass
