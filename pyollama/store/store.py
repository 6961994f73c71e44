"""The model directory: finding and listing the models in it, and writing blobs and manifests."""

from __future__ import annotations

import builtins
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from pyollama.errors import InvalidManifest, ModelNotFound, StoreError
from pyollama.store.blob_writer import BlobWriter, touch
from pyollama.store.digest import Digest
from pyollama.store.legacy import rename_legacy_blobs
from pyollama.store.manifest import MAX_MANIFEST, Manifest, MediaType
from pyollama.store.name import PARTS, ModelName
from pyollama.store.reading import read_file
from pyollama.store.stored_model import StoredModel
from pyollama.store.writing import write_atomically

__all__ = ["Store"]

log = logging.getLogger("pyollama")

EMBEDDED = Path(__file__).parent.parent / "models"
# So many names still help in an error message.
FEW = 8
ALL = (None,) * len(PARTS)
MAX_WARNINGS = 1000
COPY_CHUNK = 1 << 20


class Store:
    """Model directories, seen as one. The first is the user's: only there something is written.

    A model in an earlier root hides one of the same name in a later root, also when its manifest is broken:
    a name must not silently mean another model. What is written never depends on a later root: blobs that a
    manifest needs are copied from there first.

    Several threads, and several processes, may read and write at the same time. A reader sees a blob or a
    manifest whole or not at all.

    Args:
        roots: The directories, each laid out as Ollama's ``models`` directory is. They need not exist.

    Example::

        store = Store.default()
        [model.name.short for model in store.list()]   # ["tiny:latest"]
        store.find("tiny").model_path
    """

    def __init__(self, roots: Iterable[str | os.PathLike[str]]) -> None:
        if isinstance(roots, (str, os.PathLike)):
            raise TypeError(f"roots must be a list of directories, not one: [{os.fspath(roots)!r}]")
        # Absolute, so that a later change of the working directory changes nothing.
        self.roots = tuple(dict.fromkeys(Path(os.path.abspath(root)) for root in roots))
        self._warned: set[str] = set()
        # From looking how a name is spelled until a manifest has it.
        self._naming = threading.Lock()

    @classmethod
    def default(cls) -> Store:
        """The user's model directory and, behind it, the models that come with pyollama.

        The user's is the one that ``OLLAMA_MODELS`` names, else ``~/.ollama/models``.

        Raises:
            StoreError: The variable is not set and the user has no home directory.
        """
        return cls([_users_root(), EMBEDDED])

    def find(self, name: str | ModelName) -> StoredModel:
        """The model of that name. Upper and lower case are the same, the exact spelling is preferred.

        Args:
            name: A name, or the text of one.

        Raises:
            InvalidModelName: The text is not a name.
            ModelNotFound: There is no such model.
            InvalidManifest: The manifest of the model cannot be used.
            StoreError: The manifest, or a directory where the model may be, cannot be read.
        """
        wanted = name if isinstance(name, ModelName) else ModelName.parse(name)
        problems: list[str] = []
        for root in self.roots:
            for parts in _walk(root / "manifests", wanted.path_parts, problems.append):
                for problem in problems:
                    self._warn(problem)
                return self._load(root, _name(parts))
        if problems:
            raise StoreError(
                f'model "{wanted}" is not in the directories that can be read, but {problems[0]}; '
                "let this user read it or set OLLAMA_MODELS to another directory"
            )
        raise self._not_found(wanted)

    def list(self) -> builtins.list[StoredModel]:
        """All models, the last modified first.

        What cannot be used is left out, with a warning in the log: a broken manifest, a config or template
        that cannot be read, a directory that cannot be read, a file whose path is not a name.
        """
        models: builtins.list[StoredModel] = []
        hidden: set[ModelName] = set()
        for root in self.roots:
            here = [_name(parts) for parts in _walk(root / "manifests", ALL, self._warn)]
            for name in here:
                if name not in hidden and (model := self._usable(root, name)):
                    models.append(model)
            hidden.update(here)
        # In whole seconds, as Ollama does.
        return sorted(models, key=lambda model: (-(model.modified_ns // 10**9), model.name.key))

    @property
    def root(self) -> Path:
        """The directory that is written to.

        Raises:
            StoreError: There is none, or it is the one of the models that come with pyollama.
        """
        if not self.roots:
            raise StoreError("this store has no directory to write to")
        if os.path.realpath(self.roots[0]) == os.path.realpath(EMBEDDED):
            raise StoreError(
                f"the models that come with pyollama cannot be changed: {self.roots[0]}; set OLLAMA_MODELS to "
                "another directory"
            )
        return self.roots[0]

    def blob_path(self, digest: Digest) -> Path | None:
        """The file of a blob, in whichever root it is; None where there is none.

        Raises:
            StoreError: A directory where it may be cannot be read.
        """
        return next(self._blobs(digest), None)

    def has_blob(self, digest: Digest) -> bool:
        """Whether there is such a blob. Raises StoreError like `blob_path`."""
        return self.blob_path(digest) is not None

    def new_blob(self) -> BlobWriter:
        """A blob to be written, in a ``with`` block.

        Example::

            with store.new_blob() as blob:
                blob.write(b"GGUF")
                digest, size, created = blob.finish()
        """
        return BlobWriter(self.root / "blobs")

    def write_blob(self, data: bytes) -> tuple[Digest, int, bool]:
        """Write a small blob at once; returns what `BlobWriter.finish` returns."""
        with self.new_blob() as blob:
            blob.write(data)
            return blob.finish()

    def adopt_blob(self, digest: Digest, size: int | None = None) -> int:
        """Make sure that a blob is in the root that is written to, and counts as just written.

        From another root it is copied and not linked: a link would be one file with that root's, and a new
        time of the one would be written into the other.

        Args:
            digest: Of the blob.
            size: In bytes, where it is known; a file of another size is damaged and is passed over.

        Returns:
            Its size in bytes.

        Raises:
            StoreError: There is no such blob, or only a damaged one.
            OSError: It cannot be copied.
        """
        here = self.root / "blobs" / digest.file_name
        for path in self._blobs(digest):
            found = path.stat().st_size
            if size is not None and found != size:
                continue
            if path == here:
                touch(path)
            else:
                self._copy_blob(path, digest)
            return found
        of_size = "" if size is None else f" of {size} bytes"
        raise StoreError(
            f'there is no blob "{digest}"{of_size}; upload it, or pull or create its model again'
        )

    def write_manifest(self, name: ModelName, manifest: Manifest) -> None:
        """Make a model of blobs that are in the store, in place of one that has that name.

        Where a part of the name is there in another case, the spelling that is there is used. The manifest
        is written last: when everything that it refers to is in the root.

        Args:
            name: Of the model.
            manifest: Its blobs.

        Raises:
            StoreError: A blob is missing or damaged, or a directory cannot be made.
            OSError: The system refuses: the disk is full, for example.
        """
        manifests = self.root / "manifests"
        layers = (*manifest.layers, *((manifest.config,) if manifest.config else ()))
        for digest, size in dict.fromkeys((layer.digest, layer.size) for layer in layers):
            self.adopt_blob(digest, size)
        with self._naming:
            path = manifests.joinpath(*self.spelling(name).path_parts)
            # Beside the manifest, what a crash leaves behind would count as a model without a valid name.
            write_atomically(path, manifest.encode(), temporary_in=manifests)

    def spelling(self, name: ModelName) -> ModelName:
        """The name in the spelling of the models that are here.

        Each part is spelled as in the model whose name is most alike, of those that have that part.

        Example::

            store.spelling(ModelName.parse("foo:v2"))   # Foo:v2, where there is a Foo:latest
        """

        def unlikeness(other: ModelName) -> tuple[int, int, tuple[str, ...]]:
            same = sum(mine == its for mine, its in zip(name.key, other.key, strict=True))
            exact = sum(mine == its for mine, its in zip(name.path_parts, other.path_parts, strict=True))
            return -same, -exact, other.path_parts

        everywhere = (_walk(root / "manifests", ALL, self._warn) for root in self.roots)
        known = sorted((_name(parts) for found in everywhere for parts in found), key=unlikeness)
        spelled = {}
        for part in PARTS:
            mine = getattr(name, part)
            theirs = (getattr(other, part) for other in known)
            spelled[part] = next((text for text in theirs if text.lower() == mine.lower()), mine)
        return ModelName(scheme=name.scheme, **spelled)

    def rename_legacy_blobs(self) -> int:
        """Give blobs of very old versions their present names: `legacy.rename_legacy_blobs`."""
        return rename_legacy_blobs(self.root / "blobs")

    def _blobs(self, digest: Digest) -> Iterator[Path]:
        """The files of a blob, one in each root that has it."""
        for root in self.roots:
            path = root / "blobs" / digest.file_name
            try:
                if stat.S_ISREG(path.stat().st_mode):
                    yield path
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise StoreError(f"the blob {path} cannot be read: {error.strerror}") from error

    def _copy_blob(self, source: Path, digest: Digest) -> None:
        with open(source, "rb", buffering=0) as file, self.new_blob() as blob:
            while chunk := file.read(COPY_CHUNK):
                blob.write(chunk)
            if blob.digest != digest:
                raise StoreError(f"the blob {source} is damaged: its content has another digest")
            blob.finish()

    def _usable(self, root: Path, name: ModelName) -> StoredModel | None:
        try:
            model = self._load(root, name)
            _ = model.config, model.template
            return model
        except ModelNotFound:  # removed since the directory was read
            return None
        except StoreError as error:
            self._warn(f'model "{name}" is left out: {error}')
            return None

    def _load(self, root: Path, name: ModelName) -> StoredModel:
        """The model whose manifest was seen a moment ago."""
        path = root.joinpath("manifests", *name.path_parts)
        try:
            data, found = read_file(path, MAX_MANIFEST)
            manifest = Manifest.decode(data)
        except FileNotFoundError as error:
            raise self._not_found(name) from error
        except OSError as error:
            raise StoreError(
                f'the manifest of model "{name}" cannot be read: {path}: {error.strerror}'
            ) from error
        except StoreError as error:
            raise InvalidManifest(
                f'the manifest of model "{name}" cannot be used: {path}: {error}; pull or create the model '
                "again, or remove that file"
            ) from error
        if manifest.of(MediaType.EMBED):
            self._warn(f'model "{name}" has embeddings in its manifest; they are ignored')
        return StoredModel(
            name=name,
            manifest=manifest,
            digest=Digest.of_bytes(data),
            root=root,
            modified_ns=found.st_mtime_ns,
        )

    def _not_found(self, wanted: ModelName) -> ModelNotFound:
        def quiet(_: str) -> None:
            """Nothing: the walk before this one has reported."""

        everywhere = (_walk(root / "manifests", ALL, quiet) for root in self.roots)
        names = list(islice((_name(parts) for found in everywhere for parts in found), FEW + 1))
        if not names:
            there = "there are no models here"
        elif len(names) <= FEW:
            there = f"the models here are {', '.join(sorted({name.short for name in names}))}"
        else:
            there = f"there are more than {FEW} models here, none of this name"
        return ModelNotFound(
            f'model "{wanted}" not found; {there}',
            name=wanted.short,
        )

    def _warn(self, text: str) -> None:
        """Log it once: listing is asked for again and again, by clients too."""
        if text not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(text)
            log.warning("%s", text)


def _users_root() -> Path:
    given = os.environ.get("OLLAMA_MODELS", "").strip().strip("\"'")
    if given:
        return Path(given)
    try:
        return Path.home() / ".ollama" / "models"
    except RuntimeError as error:
        raise StoreError("this user has no home directory; set OLLAMA_MODELS to a directory") from error


def _name(parts: tuple[str, ...]) -> ModelName:
    host, namespace, model, tag = parts
    return ModelName(host=host, namespace=namespace, model=model, tag=tag)


def _walk(
    directory: Path, wanted: tuple[str | None, ...], report: Callable[[str], None]
) -> Iterator[tuple[str, ...]]:
    """The parts of names for which there is a manifest, in order.

    Only entries that the system lists are followed: a name that somebody asks for never becomes a path.

    Args:
        directory: Where to begin.
        wanted: For each level below it, how the entry is called, in any case; None takes all.
        report: Called with what is wrong with the directory.
    """
    part = PARTS[len(PARTS) - len(wanted)]
    is_last = len(wanted) == 1
    try:
        with os.scandir(directory) as entries:
            found = {entry.name: _is_dir(entry, report) for entry in entries if _fits(entry.name, wanted[0])}
    except FileNotFoundError:
        return
    except OSError as error:
        report(f"{directory} cannot be read: {error.strerror}")
        return
    # The exact spelling first, where there are several.
    for name in sorted(found, key=lambda name: (name != wanted[0], name)):
        if found[name] is is_last or found[name] is None:
            continue
        if not ModelName.is_part(part, name):
            report(f"{str(directory / name)!a} is ignored: it is not the {part} of a model name")
        elif is_last:
            yield (name,)
        else:
            for below in _walk(directory / name, wanted[1:], report):
                yield (name, *below)


def _fits(name: str, wanted: str | None) -> bool:
    # lower() makes a "k" of the Kelvin sign.
    return wanted is None or (name.isascii() and name.lower() == wanted.lower())


def _is_dir(entry: os.DirEntry[str], report: Callable[[str], None]) -> bool | None:
    """None where it cannot be known."""
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        # Unless it has just been removed, it is a link that leads nowhere or may not be followed.
        if entry.is_symlink() or not isinstance(error, FileNotFoundError):
            report(f"{entry.path!a} cannot be read: {error.strerror}")
        return None
