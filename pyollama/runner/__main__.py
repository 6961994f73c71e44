"""``python -m pyollama.runner FD``: the process of one model. The server starts it; nobody else should."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import signal
import socket
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Serve the connection whose descriptor is the first argument."""
    server = int(sys.argv[2])
    die_with(server)
    faulthandler.enable()
    # The server decides when it is time to go; a Ctrl-C at its terminal reaches this process too.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s")
    from pyollama.runner.connection import Connection
    from pyollama.runner.worker import Worker

    connection = Connection(socket.socket(fileno=int(sys.argv[1])))
    # OSError: the server has gone while something was being sent
    with contextlib.suppress(OSError):
        Worker(connection).run()
    sys.stderr.flush()
    # Threads may still prepare or compute; nobody waits for them any more.
    os._exit(0)


def die_with(server: int) -> None:
    """End this process when the server ends, however that happens, and whatever this one is doing.

    Elsewhere than on Linux the closed socket has to do.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != server:  # it ended before that
            os._exit(1)


if __name__ == "__main__":
    main()
