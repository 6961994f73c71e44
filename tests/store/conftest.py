"""Model directories for the tests of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from .directory import ModelDirectory


@pytest.fixture
def directory(tmp_path: Path) -> ModelDirectory:
    return ModelDirectory(tmp_path / "models")
