"""What ``--version`` prints."""

from __future__ import annotations

import os

from pyollama import __version__, _build

__all__ = ["version_text"]


def version_text(*, verbose: bool) -> str:
    """Version and llama.cpp pin, from the build's own record; nothing else is loaded unless ``verbose``.

    Args:
        verbose: Add backends, the processor features in use, and the version of the server.
    """
    lines = [
        f"pyollama version is {__version__}",
        f"llama.cpp from {_build.LLAMA_CPP_PACKAGE} {_build.LLAMA_CPP_VERSION}, ggml {_build.GGML_VERSION}",
    ]
    if verbose:
        from pyollama.engine import backend

        lines.append(f"backends: {' '.join(_build.BACKENDS)}, CPU code {_build.CPU}")
        for device in backend.devices():
            free, total = (device[key] / 2**30 for key in ("memory_free", "memory_total"))
            lines.append(
                f"device {device['name']}: {device['description']}, {free:.1f} of {total:.1f} GiB free"
            )
        lines.append(f"features: {backend.system_info().strip(' |')}")
        lines.append(_server_line())
    return "\n".join(lines)


def _server_line() -> str:
    from pyollama.cli.client import Client, CouldNotConnect
    from pyollama.cli.replies import VersionReply
    from pyollama.errors import Error
    from pyollama.settings import ServerAddress

    client = Client(ServerAddress.parse(os.environ.get("OLLAMA_HOST", "")))
    url = client.address.url
    try:
        client.check()
        reply = client.get("/api/version", VersionReply)
    except CouldNotConnect:
        return f"server {url}: none is running"
    except Error as error:
        return f"server {url}: {error}"
    ours = f", pyollama {reply.pyollama}" if reply.pyollama else ""
    return f"server {url}: version {reply.version}{ours}"
