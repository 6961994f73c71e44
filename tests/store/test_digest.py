"""Digests: one form only, and no other way to the file of a blob."""

from __future__ import annotations

import copy
import hashlib
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidDigest, StoreError
from pyollama.store import Digest

from .directory import HEX, HOSTILE_DIGESTS


@pytest.mark.parametrize("value", HOSTILE_DIGESTS, ids=lambda value: ascii(value)[:40])
def test_refused(value: Any) -> None:
    """Catches a text that reaches the file system, and a message that repeats all of it."""
    with pytest.raises(InvalidDigest, match="must be sha256: and 64 hexadecimal digits") as caught:
        Digest(value)
    assert not isinstance(value, str) or caught.value.digest == value
    assert len(str(caught.value)) < 300
    assert str(caught.value).isascii()
    assert isinstance(caught.value, StoreError)
    assert isinstance(caught.value, ValueError)


def test_a_digest() -> None:
    """Catches a changed file name: every existing directory would be empty."""
    digest = Digest(f"sha256:{HEX}")
    assert digest == str(digest) == f"sha256:{HEX}"
    assert (digest.hex, digest.short, digest.file_name) == (HEX, "0123456789ab", f"sha256-{HEX}")
    assert Digest.of_bytes(b"").hex == hashlib.sha256(b"").hexdigest()
    for again in (copy.copy(digest), pickle.loads(pickle.dumps(digest)), Digest(digest)):
        assert again == digest
        assert type(again) is Digest
    assert len({digest, Digest(f"sha256:{HEX}")}) == 1


@given(st.text(max_size=80) | st.from_regex(r"sha256[:-][0-9a-fA-F./]{62,66}"))
def test_any_text(text: str) -> None:
    """Catches an error of another kind, and a file name that is not exactly one plain entry."""
    try:
        digest = Digest(text)
    except InvalidDigest:
        return
    assert digest.file_name == text.replace(":", "-")
    assert len(digest.file_name) == 71
    assert set(digest.hex) <= set("0123456789abcdef")


@given(st.binary(max_size=100))
def test_of_bytes(data: bytes) -> None:
    """Catches a digest of something else than the bytes."""
    assert Digest.of_bytes(data) == f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_parse() -> None:
    """Catches a digest that a client may send and that is refused, and one text for two blobs."""
    plain = Digest("sha256:" + HEX)
    for text in (plain, "sha256-" + HEX, "sha256:" + HEX.upper(), "sha256-" + HEX.upper()):
        assert Digest.parse(text) == plain
        assert type(Digest.parse(text)) is Digest


ALSO_TAKEN = ("sha256:" + HEX.upper(), "sha256-" + HEX)


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE_DIGESTS if text not in ALSO_TAKEN], ids=lambda text: ascii(text)[:40]
)
def test_parse_hostile(text: Any) -> None:
    """Catches a text that is no digest, and an error without the words that clients know."""
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse(text)
    assert str(caught.value) == "invalid digest format"
