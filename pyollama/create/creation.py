"""Makes a model in the store, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from pyollama.create.description import describe
from pyollama.create.layers import new_layers
from pyollama.create.request import CreateRequest
from pyollama.errors import InvalidModelFile, InvalidRequest, ModelNotFound, Unsupported
from pyollama.gguf import GGUFHeader
from pyollama.store import Digest, Layer, Manifest, MediaType, ModelConfig, ModelName, Store, StoredModel

__all__ = ["Progress", "create_model"]

MAGIC = b"GGUF"


class Progress(msgspec.Struct, frozen=True):
    """What has just been done, or is about to be; in the words that clients know."""

    status: str


def create_model(store: Store, request: CreateRequest) -> Iterator[Progress]:
    """Make a model; a model of that name is replaced.

    Everything is checked before the first step. The manifest is written last and at once: until then there is
    no new model, and one that is replaced stays as it is. A generator that is closed or fails before leaves
    nothing but whole blobs, which no model needs. It blocks while it works.

    Args:
        store: Where to put it.
        request: What to make.

    Raises:
        InvalidRequest: The request can never be fulfilled; also `OptionError`, `InvalidModelName`.
        Unsupported: It asks for something that this version cannot do.
        InvalidModelFile: The file is damaged, or is no model.
        StoreError: The base, or a blob of it, is missing or damaged.
        OSError: The system refuses: the disk is full, for example.

    Example::

        for progress in create_model(store, CreateRequest(model="mario", from_="tiny", system="Be Mario.")):
            print(progress.status)
    """
    request.check()
    base = _find(store, request.base) if request.base else None
    layers, config = _from_model(base) if base else _from_file(store, *request.file)
    added = new_layers(request, base)
    replaced = {layer.media_type for layer in added} - {MediaType.LICENSE}
    layers = [layer for layer in layers if layer.media_type not in replaced]

    # Only now: an error that comes before the first step has a status of its own for the client.
    if base is None:
        yield Progress("parsing GGUF")
    for layer in layers:
        store.adopt_blob(layer.digest, layer.size)
        yield _using(layer.digest)
    for new in added:
        digest, size, created = store.write_blob(new.content)
        layers.append(Layer(media_type=new.media_type, digest=digest, size=size))
        yield Progress(f"creating new layer {digest}") if created else _using(digest)
    digest, size, _ = store.write_blob(config.encode())
    config_layer = Layer(media_type=MediaType.CONFIG, digest=digest, size=size)
    yield Progress("writing manifest")
    store.write_manifest(request.name, Manifest(config=config_layer, layers=tuple(layers)))
    # Blobs that only the replaced model had are left for whoever removes unused blobs.
    yield Progress("success")


def _using(digest: Digest) -> Progress:
    return Progress(f"using existing layer {digest}")


def _find(store: Store, name: ModelName) -> StoredModel:
    try:
        return store.find(name)
    except ModelNotFound as error:
        raise Unsupported(
            f'pull model manifest: file does not exist: "from" names "{name}", which is not here, and this '
            "version cannot pull it"
        ) from error


def _from_model(base: StoredModel) -> tuple[list[Layer], ModelConfig]:
    """The layers that are taken over from another model, and what can be said of it."""
    header = _header(base.model_path, str(base.name))
    taken = [msgspec.structs.replace(layer, origin=base.name.short) for layer in base.manifest.layers]
    return taken, describe(header, base.config)


def _from_file(store: Store, path: str, digest: Digest) -> tuple[list[Layer], ModelConfig]:
    """The layer that an uploaded file becomes, as it is, and what can be said of it."""
    blob = store.blob_path(digest)
    if blob is None:
        raise InvalidRequest(f'blob "{digest}" not found: upload {path!a:.100} to /api/blobs/{digest} first')
    with open(blob, "rb") as file:
        magic = file.read(len(MAGIC))
    if magic != MAGIC:
        named = path.endswith(".gguf")
        raise InvalidRequest("supplied file was not in GGUF format" if named else "unknown type")
    header = _header(blob, path)
    layer = Layer(media_type=MediaType.MODEL, digest=digest, size=header.size, origin=path)
    return [layer], describe(header)


def _header(blob: Path, shown: str) -> GGUFHeader:
    """The header of a file that holds a model; errors call it as the client does."""
    try:
        return GGUFHeader.read(blob, kind="model")
    except InvalidModelFile as error:
        raise InvalidModelFile(path=shown, reason=error.reason) from error
