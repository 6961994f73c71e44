"""Manifests and configs: whatever the bytes are, a valid value or an error that says why."""

from __future__ import annotations

import contextlib
import json
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidManifest, StoreError
from pyollama.store import Digest, Layer, Manifest, MediaType, ModelConfig
from pyollama.store.manifest import MAX_MANIFEST

from .directory import HOSTILE_DIGESTS, PREFIX, digest, wire

A, B = digest(b"a"), digest(b"b")


def layer(kind: str = "model", text: str = A, size: Any = 7, **more: Any) -> dict[str, Any]:
    return {"mediaType": PREFIX + kind, "digest": text, "size": size} | more


def decode(value: Any) -> Manifest:
    return Manifest.decode(json.dumps(value).encode())


# --- manifests -------------------------------------------------------------------------------------


def test_decode() -> None:
    """Catches a field that is lost or mixed up, and an unknown key that is an error."""
    value = wire(
        [layer(**{"from": "base:latest"}, x=1), layer("tensor", B, 5, name="a.weight"), layer("odd", B, 3)],
        config=layer("c", B, 2, annotations={"a": [1]}),
        annotations={},
    )
    manifest = decode(value)
    assert (manifest.schema_version, manifest.media_type) == (2, MediaType.MANIFEST)
    assert manifest.config == Layer(media_type=PREFIX + "c", digest=Digest(B), size=2)
    assert manifest.layers == (
        Layer(media_type=MediaType.MODEL, digest=Digest(A), size=7, origin="base:latest"),
        Layer(media_type=MediaType.TENSOR, digest=Digest(B), size=5, name="a.weight"),
        Layer(media_type=PREFIX + "odd", digest=Digest(B), size=3),
    )
    assert all(type(found.digest) is Digest for found in (manifest.config, *manifest.layers) if found)
    assert manifest.size == 17


def test_media_types() -> None:
    """Catches a misspelt constant: that layer of every model would be ignored."""
    kinds = "model adapter projector draft template prompt system params messages license embed tensor json"
    assert [kind.value for kind in MediaType] == [
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.container.image.v1+json",
        *(PREFIX + kind for kind in kinds.split()),
    ]


def test_of_and_last() -> None:
    """Catches the first layer winning where the last one counts, and types that are not told apart."""
    manifest = decode(
        wire([layer("prompt", A), layer("license", A), layer("template", B), layer("license", B)])
    )
    assert [found.digest for found in manifest.of(MediaType.LICENSE)] == [A, B]
    found = manifest.last(MediaType.TEMPLATE, MediaType.PROMPT)
    assert found is not None
    assert found.digest == B
    assert manifest.last(MediaType.MODEL) is None
    assert manifest.of(MediaType.MODEL) == ()


@pytest.mark.parametrize("config", [None, {}, {"digest": ""}, {"mediaType": "", "digest": "", "size": 0}])
def test_no_usable_config(config: Any) -> None:
    """Catches a model without config that is refused: there are such models."""
    assert decode(wire([layer()], config=config)).config is None
    assert decode(wire([layer()])).config is None


def test_no_layers() -> None:
    """Catches a model that runs elsewhere and so has a config only, being refused."""
    for layers in ([], None):
        manifest = decode(wire(layers, config=layer("c")))
        assert manifest.layers == ()
        assert manifest.size == 7


@pytest.mark.parametrize("text", HOSTILE_DIGESTS, ids=lambda value: ascii(value)[:40])
def test_hostile_digests(text: Any) -> None:
    """Catches a manifest whose digest leads out of the directory (CVE-2024-37032)."""
    value = text.decode() + "?" if isinstance(text, bytes) else text
    with pytest.raises(InvalidManifest) as caught:
        decode(wire([layer(), layer(text=value)]))
    assert "$.layers[1].digest" in str(caught.value) or '"digest"' in str(caught.value)
    assert len(str(caught.value)) < 400
    if value not in ("", None):
        with pytest.raises(InvalidManifest):
            decode(wire([layer()], config=layer(text=value)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "it is empty"),
        (b"{", "not valid JSON"),
        (b"\0" * 1000, "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not valid JSON"),
        (b"GGUF\x03\0\0\0", "not valid JSON"),
        (b"<html><body>404</body></html>", "not valid JSON"),
        (b"null", "Expected `object`, got `null`"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"x"', "Expected `object`, got `str`"),
        (b"{}", "no config and no layers"),
        (b'{"layers":[],"config":null}', "no config and no layers"),
        (b'{"schemaVersion":2,"manifests":[]}', "no config and no layers"),
        (b'{"schemaVersion":1,"layers":[]}', "schemaVersion is 1"),
        (b'{"schemaVersion":"2"}', "$.schemaVersion"),
        (b'{"layers":{}}', "$.layers"),
        (b'{"layers":[null]}', "$.layers[0]"),
        (b'{"layers":[[]]}', "$.layers[0]"),
        (b'{"layers":[{}]}', "mediaType"),
        (b'{"config":[]}', "Expected `object | null`, got `array`"),
        (b'{"config":{"digest":7}}', "$.digest"),
        (b'{"mediaType":"\xff","layers":[]}', "not UTF-8"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"config":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "nested too deeply"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_garbage(data: bytes, reason: str) -> None:
    """Catches bytes that end in an error of another kind or in a crash."""
    with pytest.raises(InvalidManifest) as caught:
        Manifest.decode(data)
    assert reason in str(caught.value)


@pytest.mark.parametrize("size", [-1, -(2**63), 2**63, 2**64, 10**30, 1.5, "7", None, True, [7]])
def test_hostile_sizes(size: Any) -> None:
    """Catches a size that makes a sum negative, overflows, or is no number."""
    with pytest.raises(InvalidManifest):
        decode(wire([layer(size=size)]))


def test_no_way_around_the_check() -> None:
    """Catches a bad value by the constructor."""
    with pytest.raises(InvalidManifest):
        Layer(media_type="x", digest=Digest(A), size=-1)
    with pytest.raises(InvalidManifest):
        Manifest()
    with pytest.raises(AttributeError):
        decode(wire([layer()])).layers = ()  # type: ignore[misc]


def test_many_layers() -> None:
    """Catches a limit that refuses tensor models, and time or memory out of proportion."""
    data = json.dumps(wire([layer("tensor", B, 1, name=f"blk.{i}.weight") for i in range(10_000)])).encode()
    start = time.perf_counter()
    manifest = Manifest.decode(data)
    assert len(manifest.layers) == manifest.size == 10_000
    assert len(manifest.of(MediaType.TENSOR)) == 10_000
    assert time.perf_counter() - start < 1.0


def test_too_large() -> None:
    """Catches a giant that is parsed before it is measured."""
    data = b" " * (MAX_MANIFEST + 1)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidManifest, match=f"has {len(data)} bytes, at most {MAX_MANIFEST}"):
            Manifest.decode(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
LAYERS = st.fixed_dictionaries(
    {"mediaType": JSON | st.sampled_from(MediaType), "digest": JSON | st.just(A), "size": JSON | st.just(1)}
)
MANIFESTS = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": JSON | st.just(2),
        "mediaType": JSON,
        "config": JSON | LAYERS,
        "layers": JSON | st.lists(LAYERS, max_size=3),
        "other": JSON,
    },
)


@given(st.binary(max_size=50) | MANIFESTS.map(msgspec.json.encode))
def test_any_bytes(data: bytes) -> None:
    """Catches bytes that end in an error of another kind, or in a manifest that holds a bad value."""
    try:
        manifest = Manifest.decode(data)
    except InvalidManifest:
        return
    assert manifest.schema_version == 2
    assert manifest.config or manifest.layers
    assert all(type(found.digest) is Digest and found.size >= 0 for found in manifest.layers)


# --- configs ---------------------------------------------------------------------------------------


def test_config() -> None:
    """Catches a key that is lost, null that is an error, and an old config with more keys being refused."""
    value = {
        "model_format": "gguf",
        "model_family": "llama",
        "model_families": ["llama", "clip"],
        "model_type": "6.7B",
        "file_type": "Q4_K_M",
        "renderer": "r",
        "parser": "p",
        "requires": "0.12.0",
        "remote_host": "https://h",
        "remote_model": "m",
        "capabilities": ["tools"],
        "context_length": 4096,
        "embedding_length": 512,
        "base_name": "b",
        "draft": {"model_format": "gguf"},
        "architecture": "amd64",
        "os": "linux",
    }
    config = ModelConfig.decode(json.dumps(value | {"rootfs": {"type": "layers"}}).encode())
    assert msgspec.to_builtins(config) == value | {
        "model_families": ("llama", "clip"),
        "capabilities": ("tools",),
    }
    assert list(msgspec.structs.asdict(config)) == list(value)
    assert ModelConfig.decode(json.dumps(dict.fromkeys(value)).encode()) == ModelConfig()
    assert ModelConfig.decode(b"{}").model_families is None


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"null", b"[]", b"3", b"\xff", b'{"a":"\xff"}', b'{"file_type":7}'),
        *(b'{"model_families":"llama"}', b'{"context_length":"4096"}', b'{"draft":[]}'),
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_garbage_config(data: bytes) -> None:
    """Catches a config that ends in an error of another kind."""
    with pytest.raises(StoreError):
        ModelConfig.decode(data)


@given(st.binary(max_size=30) | JSON.map(msgspec.json.encode))
def test_any_config(data: bytes) -> None:
    """Catches bytes that end in an error of another kind."""
    with contextlib.suppress(StoreError):
        ModelConfig.decode(data)
