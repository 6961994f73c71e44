"""What to say to somebody who imports pyollama from a source tree that was never compiled."""

from __future__ import annotations

from pathlib import Path


def message() -> str:
    package = Path(__file__).resolve().parent
    root = package.parent
    if (root / "pyproject.toml").is_file():
        return (
            f"pyollama was imported from its source tree ({package}), which holds no compiled code.\n"
            f"To install it, type:\n"
            f"    {_python()} -m pip install {root}\n"
            f"If it is installed already, this tree hides it, because Python looks in the current directory "
            f"first: work in another directory, or start Python with -P (and pytest as 'pytest', not "
            f"'python -m pytest')."
        )
    return (
        f"the installation of pyollama in {package} is incomplete: _build.py is missing. "
        f"To repair it, type:\n    {_python()} -m pip install --force-reinstall pyollama"
    )


def _python() -> str:
    import sys

    return sys.executable or "python"
