"""Settings from environment variables."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pyollama.settings import ServerAddress, Settings
from pyollama.settings.settings import BUILT_IN_ORIGINS


def test_defaults(caplog: pytest.LogCaptureFixture) -> None:
    """Catches a default that changed, and an empty variable that is taken for a value."""
    settings = Settings.from_environment({"OLLAMA_KEEP_ALIVE": "", "OLLAMA_NOPRUNE": ' "" ', "OTHER": "1"})
    assert settings == Settings()
    assert settings == Settings(
        address=ServerAddress("http", "127.0.0.1", 11434, ""),
        origins=BUILT_IN_ORIGINS,
        keep_alive=300.0,
        context_length=0,
        max_queue=512,
        max_loaded_models=0,
        num_parallel=0,
        load_timeout=300.0,
        noprune=False,
        debug=False,
    )
    assert caplog.text == ""


def test_the_process_s_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an environment that is read once, at import."""
    monkeypatch.setenv("OLLAMA_MAX_QUEUE", "7")
    assert Settings.from_environment().max_queue == 7


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("OLLAMA_HOST", "[::]:1", "address", ServerAddress("http", "::", 1)),
        ("OLLAMA_KEEP_ALIVE", "10", "keep_alive", 10.0),
        ("OLLAMA_KEEP_ALIVE", "1h", "keep_alive", 3600.0),
        ("OLLAMA_KEEP_ALIVE", "0", "keep_alive", 0.0),
        ("OLLAMA_KEEP_ALIVE", "-1", "keep_alive", math.inf),
        ("OLLAMA_KEEP_ALIVE", "-5m", "keep_alive", math.inf),
        ("OLLAMA_KEEP_ALIVE", " '30s' ", "keep_alive", 30.0),
        ("OLLAMA_KEEP_ALIVE", "999999999999", "keep_alive", math.inf),
        ("OLLAMA_LOAD_TIMEOUT", "90", "load_timeout", 90.0),
        ("OLLAMA_LOAD_TIMEOUT", "0", "load_timeout", math.inf),
        ("OLLAMA_LOAD_TIMEOUT", "-1s", "load_timeout", math.inf),
        ("OLLAMA_CONTEXT_LENGTH", "8192", "context_length", 8192),
        ("OLLAMA_MAX_QUEUE", '"16"', "max_queue", 16),
        ("OLLAMA_MAX_QUEUE", "0", "max_queue", 0),
        ("OLLAMA_MAX_LOADED_MODELS", "2", "max_loaded_models", 2),
        ("OLLAMA_NUM_PARALLEL", "2147483647", "num_parallel", 2**31 - 1),
        *(
            ("OLLAMA_NOPRUNE", text, "noprune", True)
            for text in ("1", "t", "T", "TRUE", "true", "True", "yes")
        ),
        *(("OLLAMA_NOPRUNE", text, "noprune", False) for text in ("0", "f", "F", "FALSE", "false", "False")),
        ("OLLAMA_DEBUG", "1", "debug", True),
        ("OLLAMA_DEBUG", "true", "debug", True),
        ("OLLAMA_DEBUG", "2", "debug", True),
        ("OLLAMA_DEBUG", "-4", "debug", False),
        ("OLLAMA_DEBUG", "00", "debug", False),
        ("OLLAMA_DEBUG", "9" * 5000, "debug", True),
        ("OLLAMA_DEBUG", "on", "debug", True),
        ("OLLAMA_DEBUG", "false", "debug", False),
    ],
)
def test_value(name: str, text: str, field: str, value: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a variable that is ignored or misread."""
    assert getattr(Settings.from_environment({name: text}), field) == value
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OLLAMA_HOST", "ftp://x"),
        ("OLLAMA_KEEP_ALIVE", "soon"),
        ("OLLAMA_KEEP_ALIVE", "1.5"),
        ("OLLAMA_KEEP_ALIVE", "9" * 5000),
        ("OLLAMA_LOAD_TIMEOUT", "5 m"),
        ("OLLAMA_CONTEXT_LENGTH", "-1"),
        ("OLLAMA_CONTEXT_LENGTH", "4k"),
        ("OLLAMA_MAX_QUEUE", "2147483648"),
        ("OLLAMA_MAX_QUEUE", "9" * 5000),
        ("OLLAMA_NUM_PARALLEL", "1.0"),
        ("OLLAMA_NUM_PARALLEL", "\u0661"),
    ],
)
def test_bad_value(name: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Catches an end at the start for a typing error, and a default that is taken in silence."""
    assert Settings.from_environment({name: text}) == Settings()
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().startswith(f"{name}=")
    assert len(caplog.records[0].getMessage()) < 500


def test_origins(caplog: pytest.LogCaptureFixture) -> None:
    """Catches pages that are let in or shut out against the list."""
    assert BUILT_IN_ORIGINS[:4] == (
        "http://localhost",
        "https://localhost",
        "http://localhost:*",
        "https://localhost:*",
    )
    assert BUILT_IN_ORIGINS[-5:] == (
        "app://*",
        "file://*",
        "tauri://*",
        "vscode-webview://*",
        "vscode-file://*",
    )
    assert len(BUILT_IN_ORIGINS) == 17
    text = " https://a.example , http://*.b.example,, *,https://a.example"
    origins = Settings.from_environment({"OLLAMA_ORIGINS": text}).origins
    assert origins == ("https://a.example", "http://*.b.example", "*", *BUILT_IN_ORIGINS)
    assert caplog.text == ""
    origins = Settings.from_environment({"OLLAMA_ORIGINS": "a.example,http://b.example"}).origins
    assert origins == ("http://b.example", *BUILT_IN_ORIGINS)
    assert "OLLAMA_ORIGINS: 'a.example' is not used: it needs a scheme, as in http://a.example" in caplog.text
