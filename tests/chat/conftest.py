"""What the tests of the native chat layer share."""

from __future__ import annotations

from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[2] / "vendor" / "llama.cpp" / "models" / "templates"


@pytest.fixture
def template_source():
    """Reads a published template of llama.cpp's collection by name."""

    def read(name: str) -> str:
        if not TEMPLATES.is_dir():
            pytest.skip(
                f"the vendored llama.cpp tree has no {TEMPLATES.name} here (development list not unpacked)"
            )
        return (TEMPLATES / f"{name}.jinja").read_text(encoding="utf-8")

    return read
