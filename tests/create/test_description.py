"""The texts that describe a model."""

from __future__ import annotations

import pytest

from pyollama.create.description import parameter_size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (6_738_415_616, "6.7B"),
        (8_030_261_248, "8.0B"),
        (1_000_000_000, "1B"),
        (137_000_000, "137M"),
        (136_727_040, "136.73M"),
        (999_999_999, "1000.00M"),
        (1_235_814_400, "1.2B"),
        (999_999, "1000K"),
        (1500, "2K"),
        (999, "999"),
        (0, "0"),
        (671_026_419_200, "671.0B"),
        (1_000_000, "1M"),
        (1000, "1K"),
    ],
)
def test_parameter_size(count: int, text: str) -> None:
    """Catches a size in another spelling than Ollama's."""
    assert parameter_size(count) == text
