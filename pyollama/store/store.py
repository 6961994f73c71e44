"""The model directory: finding and listing the models in it."""

from __future__ import annotations

import builtins
import logging
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from pyollama.errors import InvalidManifest, ModelNotFound, StoreError
from pyollama.store.digest import Digest
from pyollama.store.manifest import MAX_MANIFEST, Manifest, MediaType
from pyollama.store.name import PARTS, ModelName
from pyollama.store.reading import read_file
from pyollama.store.stored_model import StoredModel

__all__ = ["Store"]

log = logging.getLogger("pyollama")

EMBEDDED = Path(__file__).parent.parent / "models"
# So many names still help in an error message.
FEW = 8
ALL = (None,) * len(PARTS)
MAX_WARNINGS = 1000


class Store:
    """Model directories, seen as one; nothing is written.

    A model in an earlier root hides one of the same name in a later root, also when its manifest is broken:
    a name must not silently mean another model.

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
