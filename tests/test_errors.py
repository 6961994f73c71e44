"""The error tree: what a caller may catch, and that errors survive a trip through pickle."""

from __future__ import annotations

import copy
import pickle

import pytest

from pyollama import errors

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_under_the_base_and_documented(cls: type[errors.Error]) -> None:
    """Catches a class that ``except Error`` misses, and one that nobody explains."""
    assert issubclass(cls, errors.Error)
    assert cls.__doc__
    assert cls is errors.Error or f"{cls.__name__} " in (errors.__doc__ or ""), "missing in the drawing"


def test_builtin_bases() -> None:
    """Catches a change that breaks ``except ValueError`` or ``except FileNotFoundError`` in users' code."""
    assert issubclass(errors.InvalidRequest, ValueError)
    assert issubclass(errors.OptionError, ValueError)
    assert issubclass(errors.ContextLengthExceeded, ValueError)
    assert issubclass(errors.InvalidDigest, ValueError)
    assert issubclass(errors.ModelNotFound, FileNotFoundError)
    assert issubclass(errors.Closed, RuntimeError)


@pytest.mark.parametrize("cls", CLASSES)
def test_message_pickle_and_copy(cls: type[errors.Error]) -> None:
    """Catches a constructor that pickle cannot call, and OSError's own way to print itself."""
    error = cls("what went wrong")
    for again in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert str(again) == again.message == "what went wrong"


def test_attributes_survive_pickle() -> None:
    """Catches attributes that are lost between processes."""
    option = pickle.loads(pickle.dumps(errors.OptionError("bad", option="top_p", value=2)))
    assert (option.option, option.value) == ("top_p", 2)
    length = pickle.loads(pickle.dumps(errors.ContextLengthExceeded("long", n_tokens=9, n_ctx=4)))
    assert (length.n_tokens, length.n_ctx) == (9, 4)
    load = pickle.loads(pickle.dumps(errors.ModelLoadError("failed", log=("a", "b"))))
    assert load.log == ("a", "b")
    missing = pickle.loads(pickle.dumps(errors.ModelNotFound("no", name="x")))
    assert (missing.name, str(missing)) == ("x", "no")


def test_invalid_model_file_makes_its_message() -> None:
    """Catches a refusal that does not say which file or why."""
    error = pickle.loads(pickle.dumps(errors.InvalidModelFile(path="/a/b.gguf", reason="the file is empty")))
    assert str(error) == "/a/b.gguf: the file is empty"
    assert (error.path, error.reason) == ("/a/b.gguf", "the file is empty")
