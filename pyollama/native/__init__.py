"""The compiled part of pyollama.

Importing this package loads nothing: a program may ask where the libraries are without loading them.
``pyollama.native.<name>`` loads one extension module and, with it, llama.cpp.
"""

from __future__ import annotations

from pathlib import Path

from pyollama import _build

__all__ = ["LIBRARY_DIR"]

# Compiled files lie where CMake installed them. In an editable install that is not the folder of this
# file, but _build.py is installed beside them.
LIBRARY_DIR = Path(_build.__file__).resolve().parent / "native"
