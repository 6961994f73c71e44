"""What ``--version`` prints."""

from __future__ import annotations

from pyollama import __version__, _build

__all__ = ["version_text"]


def version_text(*, verbose: bool) -> str:
    """Version and llama.cpp pin, from the build's own record; nothing native is loaded unless ``verbose``.

    Args:
        verbose: Add backends, and the processor features in use.
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
    return "\n".join(lines)
