"""What a client asks for when it creates a model, read and checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from pyollama.engine import OPTIONS, Options
from pyollama.errors import InvalidDigest, InvalidRequest, Unsupported
from pyollama.store import Digest, Message, ModelName

__all__ = ["CreateRequest"]

# What the API knows and this version cannot do: refused, because a model without it would be another one.
NOT_YET = (
    *("template", "adapters", "quantize", "quantization", "draft_files", "draft_quantize"),
    *("renderer", "parser", "requires", "info", "remote_host", "modelfile", "path"),
)
MAX_PATH = 4096
ROLES = ("system", "user", "assistant", "tool")


class CreateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to be made of a GGUF file or of another model, and what it sets besides.

    Args:
        model: Name of the new model. One of that name is replaced.
        from_: Name of the model to begin with; wins over ``files``. ``from`` in JSON.
        files: The blob of the GGUF file, by the name that the file has at the client's; one file.
        system: System text; empty keeps what the base has.
        parameters: Options by name, laid over those of the base; stored as they are given.
        license: License texts, added to those of the base; or a single text.
        messages: Messages that every conversation begins with, in place of the base's; each an object with
            ``role`` and ``content``.

    Example::

        CreateRequest(model="mario", from_="tiny", system="You are Mario.", parameters={"temperature": 1})
        CreateRequest.decode(b'{"model": "m", "files": {"m.gguf": "sha256:..."}}')
    """

    model: str = ""
    from_: str = msgspec.field(name="from", default="")
    files: dict[str, str] | None = None
    system: str = ""
    parameters: dict[str, Any] = {}
    license: str | tuple[str, ...] = ()
    messages: tuple[dict[str, Any], ...] = ()

    @classmethod
    def decode(cls, body: bytes) -> CreateRequest:
        """Read the body of a request. null is the same as a missing key; keys that mean nothing are ignored.

        Raises:
            InvalidRequest: It is empty, is not a JSON object, or a value has the wrong type.
            Unsupported: It has a key that this version cannot honour.
        """
        if not body.strip():
            raise InvalidRequest("missing request body")
        try:
            return cls.read(msgspec.json.decode(body, type=dict[str, Any]))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the request is not as it should be: {error}") from error
        except RecursionError as error:
            raise InvalidRequest("the request is nested too deeply") from error

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> CreateRequest:
        """As `decode`, from the object of the body."""
        try:
            found = {key: value for key, value in given.items() if value is not None}
            # The older key.
            found["model"] = found.get("model") or found.get("name") or ""
            request = msgspec.convert(found, cls)
        except msgspec.MsgspecError as error:
            raise InvalidRequest(f"the request is not as it should be: {error}") from error
        for key in NOT_YET:
            if found.get(key):
                raise Unsupported(f'"{key}" of a create request is not supported by this version')
        return request

    def check(self) -> None:
        """Check everything that can be checked without the store.

        Raises:
            InvalidRequest: Something is missing or wrong; `OptionError` where it is a parameter.
            Unsupported: It asks for what this version cannot do.
        """
        for path, digest in (self.files or {}).items():
            _check_path(path)
            _digest(digest)
        _ = self.name
        if self.base is None and self.files is None:
            raise InvalidRequest("neither 'from' or 'files' was specified")
        _check_text("system", self.system)
        for text in self.licenses:
            _check_text("license", text)
        self._check_parameters()
        _ = self.history

    @property
    def name(self) -> ModelName:
        """Of the new model. Raises InvalidModelName."""
        return ModelName.parse(self.model)

    @property
    def base(self) -> ModelName | None:
        """The model to begin with, if any.

        Raises:
            InvalidModelName: It is not a name.
            Unsupported: It is a model that runs elsewhere.
        """
        text = self.from_.strip()
        if not text:
            return None
        stem, _, suffix = text.lower().rpartition(":")
        if stem and (suffix == "cloud" or (suffix.endswith("-cloud") and "/" not in suffix)):
            raise Unsupported(f'"from" names {text!a:.100}: models that run elsewhere are not supported')
        return ModelName.parse(text[: len(stem)] if stem and suffix == "local" else text)

    @property
    def file(self) -> tuple[str, Digest]:
        """The only file: its name and its blob.

        Raises:
            InvalidRequest: There is none.
            Unsupported: There are several, or it is of a format that has to be converted.
        """
        files = self.files or {}
        if any(path.endswith(".safetensors") for path in files):
            raise Unsupported(
                '"files" has safetensors files: converting them is not supported by this version'
            )
        if not files:
            raise InvalidRequest("unknown type")
        if len(files) > 1:
            raise Unsupported(f'"files" has {len(files)} files: this version takes a single GGUF file')
        path, digest = next(iter(files.items()))
        return path, _digest(digest)

    @property
    def licenses(self) -> tuple[str, ...]:
        """The license texts that say something."""
        texts = (self.license,) if isinstance(self.license, str) else self.license
        return tuple(text for text in texts if text)

    @property
    def options(self) -> dict[str, Any]:
        """The parameters that have a value, as they were given."""
        return {name: value for name, value in self.parameters.items() if value is not None}

    @property
    def history(self) -> tuple[Message, ...]:
        """The messages.

        Raises:
            InvalidRequest: One is not an object, or has a role that there is not, or no text.
            Unsupported: One has more than a text.
        """
        return tuple(map(_message, self.messages))

    def _check_parameters(self) -> None:
        for name in self.parameters:
            # An older server that meets it later would ignore it, and so would this one: nobody wants that.
            if name not in OPTIONS:
                raise InvalidRequest(f"unknown parameter {name!a:.80}")
        Options.parse(self.parameters)


def _digest(text: str) -> Digest:
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        raise InvalidRequest(error.message) from error


def _check_path(path: str) -> None:
    """It names a file at the client's and never becomes a path here; a sound one is asked for all the same."""
    _check_text("files", path)
    if len(path) > MAX_PATH:
        raise InvalidRequest(f"a file path has {len(path)} characters, at most {MAX_PATH} are allowed")
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidRequest("file path must be relative")


def _check_text(field: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(f'"{field}" has text that is not valid Unicode: an unpaired surrogate') from None


def _message(given: Mapping[str, Any]) -> Message:
    role, content = given.get("role"), given.get("content", "")
    if not isinstance(role, str) or role.lower() not in ROLES:
        raise InvalidRequest(f"message role must be one of {', '.join(ROLES)}, got {role!a:.60}")
    if not isinstance(content, str):
        raise InvalidRequest(f"the content of a message must be a text, got {type(content).__name__}")
    for key, value in given.items():
        if key not in ("role", "content") and value:
            raise Unsupported(f'"{key:.60}" of a stored message is not supported by this version')
    _check_text("messages", content)
    return Message(role.lower(), content)
