"""The name of a model: host, namespace, model and tag. Never a path."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias

import msgspec

from pyollama.errors import InvalidModelName

__all__ = ["ModelName", "Part"]

Part: TypeAlias = Literal["host", "namespace", "model", "tag"]

DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"
SCHEMES = ("https", "http")

# For each part: the most characters it may have, and those it may have besides letters, digits and "_".
# None of them may come first: so no part is ".", "..", hidden, or an option of a command.
_RULES: dict[Part, tuple[int, str]] = {
    "host": (350, "-.:"),
    "namespace": (80, "-"),
    "model": (80, "-."),
    "tag": (80, "-."),
}
PARTS: tuple[Part, ...] = tuple(_RULES)
_WORD = "A-Za-z0-9_"
_FIRST = re.compile(f"[{_WORD}]")
_OTHER = {part: re.compile(f"[^{_WORD}{re.escape(extra)}]") for part, (_, extra) in _RULES.items()}


class ModelName(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The name of a model, with every part present and valid.

    Names that differ only in case are equal and have one hash, wherever they came from; the spelling is kept.
    The scheme says how to reach the host and is not part of the name.

    Args:
        host: Registry that the model belongs to, with its port if it has one.
        namespace: Whose model it is.
        model: The model itself; the only part without a default.
        tag: Which variant of the model.
        scheme: ``https`` or ``http``.

    Raises:
        InvalidModelName: A part is empty, too long or has a character that it must not have.

    Example::

        name = ModelName.parse("me/Phi:q4")
        name.short, name.full                  # "me/Phi:q4", "registry.ollama.ai/me/Phi:q4"
        name == ModelName.parse("ME/phi:Q4")   # True
    """

    host: str = DEFAULT_HOST
    namespace: str = DEFAULT_NAMESPACE
    model: str
    tag: str = DEFAULT_TAG
    scheme: str = "https"

    def __post_init__(self) -> None:
        reason = ""
        for part in PARTS:
            reason = reason or _problem(part, getattr(self, part))
        if not reason and self.scheme not in SCHEMES:
            reason = f"the scheme {self.scheme!a:.40} is not https or http"
        if reason:
            raise InvalidModelName(reason, name=self.model if isinstance(self.model, str) else "")

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Read a name as people write it: ``[[scheme://]host/][namespace/]model[:tag]``.

        It is taken apart from the right, so that the port of a host is not mistaken for a tag.

        Raises:
            InvalidModelName: The text is not a name. A path is none, and neither is a name with a digest.

        Example::

            ModelName.parse("localhost:5000/me/phi")   # host localhost:5000, tag latest
        """
        if not isinstance(text, str):
            raise InvalidModelName(f"a model name must be a text, not {type(text).__name__}")
        given: dict[str, str] = {}
        rest = text
        if text.rfind(":") > text.rfind("/"):
            rest, _, given["tag"] = text.rpartition(":")
        rest, slash, given["model"] = rest.rpartition("/")
        if slash:
            rest, slash, given["namespace"] = rest.rpartition("/")
        if slash:
            scheme, found, host = rest.partition("://")
            given["host"] = host if found else rest
            if found:
                given["scheme"] = scheme.lower()
        try:
            return cls(**given)
        except InvalidModelName as error:
            raise InvalidModelName(
                f"invalid model name {_shown(text)}: {error}; a name looks like llama3.2, me/phi:q4 or "
                "host:5000/me/phi:q4",
                name=text,
            ) from None

    @staticmethod
    def is_part(part: Part, text: str) -> bool:
        """Whether ``text`` is valid as that part of a name.

        Example::

            ModelName.is_part("tag", ".DS_Store")   # False
        """
        return not _problem(part, text)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What equal names have in common; sorts names as people expect."""
        return (self.host.lower(), self.namespace.lower(), self.model.lower(), self.tag.lower())

    @property
    def full(self) -> str:
        """All parts but the scheme: ``host/namespace/model:tag``."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def short(self) -> str:
        """For people: without the host, and without the namespace, where they are the default."""
        host, namespace, _, _ = self.key
        if host != DEFAULT_HOST:
            return self.full
        if namespace != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{self.model}:{self.tag}"
        return f"{self.model}:{self.tag}"

    @property
    def path_parts(self) -> tuple[str, str, str, str]:
        """Where the manifest is below ``manifests/``: each part names one entry of a directory."""
        return (self.host, self.namespace, self.model, self.tag)

    def __str__(self) -> str:
        return self.short

    def __eq__(self, other: object) -> bool:
        return self.key == other.key if isinstance(other, ModelName) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.key)


def _problem(part: Part, text: Any) -> str:
    """Why ``text`` cannot be that part of a name; empty where it can."""
    longest, extra = _RULES[part]
    if not isinstance(text, str):
        return f"the {part} must be a text, not {type(text).__name__}"
    if not text:
        return f"the {part} is missing"
    if len(text) > longest:
        return f"the {part} has {len(text)} characters, at most {longest} are allowed"
    if bad := _OTHER[part].search(text):
        allowed = ", ".join(f'"{character}"' for character in "_" + extra)
        return f"the {part} {_shown(text)} has {bad[0]!a}, allowed are A-Z, a-z, 0-9, {allowed}"
    if not _FIRST.match(text):
        return f'the {part} {_shown(text)} must begin with a letter, a digit or "_"'
    return ""


def _shown(text: str) -> str:
    """For a message: one line, short."""
    return ascii(text if len(text) <= 100 else f"{text[:97]}...")
