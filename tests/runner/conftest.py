"""Runners with the embedded model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyollama.store import Store


@pytest.fixture(scope="session")
def tiny() -> Path:
    return Store.default().find("tiny").model_path
