"""Models made from another model: what is taken over, what is replaced, and what stays untouched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyollama.create import CreateRequest, create_model
from pyollama.errors import InvalidManifest, InvalidModelFile, InvalidRequest, StoreError, Unsupported
from pyollama.store import Layer, Manifest, MediaType, ModelConfig, ModelName, Store

from .conftest import EMBEDDED
from .gguf_files import gguf_file
from .steps import LIBRARY, create, files, sha256, upload


def state(root: Path) -> list[tuple[str, int, int]]:
    """Everything below a directory: name, size, time."""
    return [
        (str(path), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if "__pycache__" not in path.parts
    ]


def texts(store: Store, name: str) -> list[tuple[str, str]]:
    """Kind and origin of each layer."""
    layers = store.find(name).manifest.layers
    return [(layer.media_type.rpartition(".")[2], layer.origin) for layer in layers]


def test_from_the_embedded_model(store: Store) -> None:
    """Catches a package that is written to, and a model that depends on it."""
    before = state(EMBEDDED)
    base = store.find("tiny")
    steps = create(store, model="mario", from_="tiny", system="You are Mario.")
    assert steps == [
        *(f"using existing layer {layer.digest}" for layer in base.manifest.layers),
        f"creating new layer {sha256(b'You are Mario.')}",
        "writing manifest",
        "success",
    ]
    assert state(EMBEDDED) == before
    alone = Store([store.root])
    mario = alone.find("mario")
    for layer in (*mario.manifest.layers, mario.manifest.config):
        assert layer is not None
        assert mario.blob_path(layer).parent == store.root / "blobs"
    assert mario.model_path.read_bytes() == base.model_path.read_bytes()
    assert (mario.system, mario.template, mario.parameters) == (
        "You are Mario.",
        base.template,
        base.parameters,
    )
    assert (mario.licenses, mario.config) == (base.licenses, base.config)
    assert texts(store, "mario") == [
        ("model", "tiny:latest"),
        ("template", "tiny:latest"),
        ("license", "tiny:latest"),
        ("params", "tiny:latest"),
        ("system", ""),
    ]


def test_loads_with_what_was_set(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a system text or a parameter that has no effect."""
    from pyollama import LLM

    monkeypatch.setenv("OLLAMA_MODELS", str(store.root))
    create(
        store,
        model="mario",
        from_="tiny",
        system="You are Mario.",
        parameters={"num_predict": 2, "temperature": 0.0},
        messages=({"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "It is me."}),
    )
    with LLM("mario") as llm:
        answer = llm.chat([{"role": "user", "content": "Who are you?"}])
        prompt = llm.detokenize(answer.context[: answer.stats.prompt_tokens])
    assert answer.stats.generated_tokens == 2
    for text in ("You are Mario.", "Hello?", "It is me.", "Who are you?"):
        assert text in prompt


def test_replaced_and_merged(store: Store) -> None:
    """Catches an inherited layer that stays beside its successor, or that an empty text removes."""
    messages = ({"role": "user", "content": "a"},)
    create(
        store, model="a", from_="tiny", system="A", parameters={"top_k": 1}, messages=messages, license="LA"
    )
    create(
        store, model="b", from_=" a:local ", system="B", parameters={"top_k": 2, "stop": ["x"]}, license="LB"
    )
    found = store.find("b")
    assert found.parameters == {"stop": ["x"], "temperature": 0.3, "top_k": 2}
    assert (found.system, [message.content for message in found.messages]) == ("B", ["a"])
    assert found.licenses[1:] == ("LA", "LB")
    assert texts(store, "b") == [
        ("model", "a:latest"),
        ("template", "a:latest"),
        ("license", "a:latest"),
        ("license", "a:latest"),
        ("messages", "a:latest"),
        ("system", ""),
        ("license", ""),
        ("params", ""),
    ]
    empty = create(store, model="c", from_="b", system="", parameters={}, license="", messages=())
    assert len(empty) == 8 + 2
    same = store.find("c")
    assert (same.system, same.parameters, same.licenses) == ("B", found.parameters, found.licenses)


def test_onto_itself_and_in_another_case(store: Store) -> None:
    """Catches a model that gets a twin when it is changed."""
    create(store, model="Mine", from_="tiny", system="1")
    create(store, model="mINE", from_="MINE", system="2")
    (path,) = (store.root / "manifests" / LIBRARY).iterdir()
    assert path.name == "Mine"
    assert store.find("mine").system == "2"


def test_in_place_of_the_embedded_model(store: Store) -> None:
    """Catches the embedded model that stays in front of one that the user made under its name."""
    before = state(EMBEDDED)
    create(store, model="Tiny", from_="tiny", system="mine")
    assert store.find("tiny").system == "mine"
    assert [model.root for model in store.list()] == [store.root]
    assert state(EMBEDDED) == before


def test_what_the_config_of_the_base_says(store: Store, tmp_path: Path) -> None:
    """Catches a renderer that is lost, and details that describe another file."""
    digest = upload(store, gguf_file("model", tmp_path / "x"))
    odd = ModelConfig(
        model_family="wrong",
        file_type="Q2_K",
        renderer="r",
        parser="p",
        requires="0.1.0",
        capabilities=("tools",),
    )
    data, size, _ = store.write_blob(odd.encode())
    layers = (
        Layer(media_type=MediaType.MODEL, digest=digest, size=store.adopt_blob(digest)),
        Layer(media_type="application/x.other", digest=data, size=size, name="other"),
    )
    config = Layer(media_type=MediaType.CONFIG, digest=data, size=size)
    store.write_manifest(ModelName.parse("base"), Manifest(config=config, layers=layers))
    create(store, model="m", from_="base")
    found = store.find("m")
    assert found.config == ModelConfig(
        model_format="gguf",
        model_family="llama",
        model_families=("llama",),
        model_type="32",
        file_type="F32",
        renderer="r",
        parser="p",
        requires="0.1.0",
        capabilities=("tools",),
        architecture="amd64",
        os="linux",
    )
    assert [(layer.name, layer.origin) for layer in found.manifest.layers] == [
        ("", "base:latest"),
        ("other", "base:latest"),
    ]


def test_missing_base(store: Store) -> None:
    """Catches a missing base that is ignored, or an error without the words that clients know."""
    with pytest.raises(Unsupported) as caught:
        create(store, model="m", from_="nobody/here")
    assert str(caught.value).startswith(
        'pull model manifest: file does not exist: "from" names "nobody/here:latest"'
    )
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["gpt:cloud", "gpt:20b-cloud", "me/x:CLOUD"])
def test_models_that_run_elsewhere(name: str, store: Store) -> None:
    """Catches a model of somebody else's machine that is looked for here."""
    with pytest.raises(Unsupported, match="run elsewhere"):
        create(store, model="m", from_=name)


def test_damaged_base(store: Store, tmp_path: Path) -> None:
    """Catches a damaged model that is copied, and an error that does not say which model it is."""
    create(store, model="base", from_="tiny", system="x")
    manifest = store.root / "manifests" / LIBRARY / "base" / "latest"
    system = store.root / "blobs" / sha256(b"x").replace(":", "-")
    weights = store.find("base").model_path
    content = weights.read_bytes()
    before = manifest.read_bytes()

    system.unlink()
    with pytest.raises(StoreError, match="no blob"):
        create(store, model="m", from_="base")
    system.write_bytes(b"x")
    weights.write_bytes(b"FUGG" + content[4:])
    with pytest.raises(InvalidModelFile, match=r"^base:latest: "):
        create(store, model="m", from_="base")
    weights.write_bytes(content[:-1])
    with pytest.raises(StoreError, match='"base:latest" is damaged'):
        create(store, model="m", from_="base")
    weights.unlink()
    with pytest.raises(StoreError, match='"base:latest" is damaged'):
        create(store, model="m", from_="base")
    weights.write_bytes(content)
    for garbage in (
        b"",
        before[:100],
        bytes(range(256)),
        b'{"layers":[{"digest":"sha256:../../etc/passwd"}]}',
    ):
        manifest.write_bytes(garbage)
        with pytest.raises(InvalidManifest, match="base:latest"):
            create(store, model="m", from_="base")
    manifest.write_bytes(before)
    assert create(store, model="m", from_="base")[-1] == "success"


def test_what_is_no_gguf_model(store: Store) -> None:
    """Catches a model without weights here that becomes the base of one that cannot run."""
    for name, config in (
        ("remote", ModelConfig(remote_host="https://h")),
        ("st", ModelConfig(model_format="safetensors")),
    ):
        digest, size, _ = store.write_blob(config.encode())
        layer = Layer(media_type=MediaType.CONFIG, digest=digest, size=size)
        store.write_manifest(ModelName.parse(name), Manifest(config=layer))
        with pytest.raises(Unsupported):
            create(store, model="m", from_=name)


def test_from_wins_over_files(store: Store) -> None:
    """Catches an order of the two that differs from Ollama's."""
    create(store, model="m", from_="tiny", files={"a.gguf": sha256(b"not here")})
    assert texts(store, "m")[0] == ("model", "tiny:latest")


def test_closing_early(store: Store) -> None:
    """Catches a model that is half there, or a temporary file, after the client went away."""
    create(store, model="m", from_="tiny", system="before")
    request = CreateRequest(model="m", from_="tiny", system="after", license="x")
    total = len(create(store, model="other", from_="tiny", system="after", license="x"))
    before = store.find("m").manifest
    for taken in range(total):
        steps = create_model(store, request)
        for _ in range(taken):
            assert next(steps).status != "success"
        steps.close()
        assert store.find("m").manifest == before
        assert all(len(name) == len("sha256-") + 64 for name in os.listdir(store.root / "blobs"))
        assert len(files(store.root / "manifests")) == 2
    steps = create_model(store, request)
    for _ in range(total):
        last = next(steps)
    assert last.status == "success"
    steps.close()
    assert store.find("m").system == "after"


def test_nothing_happens_before_the_first_step(store: Store) -> None:
    """Catches a generator that works when it is made: the server could not tell where."""
    create_model(store, CreateRequest(model="m", from_="tiny")).close()
    assert not store.root.exists()


def test_too_large_to_be_read_again(store: Store) -> None:
    """Catches a model that can be made and never be used: who reads it has limits."""
    with pytest.raises(InvalidRequest, match=r'^"system" has 9000000 bytes, at most 8388608'):
        create(store, model="m", from_="tiny", system="x" * 9_000_000)
    with pytest.raises(InvalidRequest, match=r'^"license" has 4000000 bytes'):
        create(store, model="m", from_="tiny", license=("x" * 4_000_000,) * 3)
    with pytest.raises(InvalidRequest, match=r'^"messages" has '):
        create(store, model="m", from_="tiny", messages=({"role": "user", "content": "<" * 2_000_000},))
    assert not store.root.exists()
