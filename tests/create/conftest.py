"""A store whose first root is empty, with the embedded model behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

import pyollama
from pyollama.store import Store

EMBEDDED = Path(pyollama.__file__).parent / "models"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store([tmp_path / "models", EMBEDDED])
