"""The digest of a blob, and with it the name of its file."""

from __future__ import annotations

import hashlib
import re

from pyollama.errors import InvalidDigest

__all__ = ["Digest"]

_TEXT = re.compile(r"sha256:[0-9a-f]{64}")
_LOOSE = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


class Digest(str):
    """A SHA-256 digest: a text that is ``sha256:`` and 64 lower-case hexadecimal digits.

    It cannot hold anything else, and `file_name` is the only way to the file of a blob: so no text from a
    manifest or a request gets into a path.

    Raises:
        InvalidDigest: The text is anything else: another algorithm, upper case, a path.

    Example::

        digest = Digest("sha256:" + "0" * 64)
        digest.file_name, digest.short   # "sha256-000...", "000000000000"
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Digest:
        if not isinstance(text, str) or not _TEXT.fullmatch(text):
            given = text if isinstance(text, str) else f"<{type(text).__name__}>"
            shown = given if len(given) <= 100 else f"{given[:97]}..."
            raise InvalidDigest(
                f"invalid digest {shown!a}: it must be sha256: and 64 hexadecimal digits in lower case",
                digest=given,
            )
        return super().__new__(cls, text)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read a digest as clients write it: ``sha256-`` and upper case are taken, too.

        Raises:
            InvalidDigest: The text is anything else.

        Example::

            Digest.parse("sha256-" + "AB" * 32)   # "sha256:abab..."
        """
        found = _LOOSE.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise InvalidDigest("invalid digest format", digest=text if isinstance(text, str) else "")
        return cls(f"sha256:{found[1].lower()}")

    @classmethod
    def of_bytes(cls, data: bytes) -> Digest:
        """The digest of ``data``."""
        return cls(f"sha256:{hashlib.sha256(data).hexdigest()}")

    @property
    def hex(self) -> str:
        """The 64 digits alone."""
        return self.removeprefix("sha256:")

    @property
    def short(self) -> str:
        """The first 12 digits, for tables."""
        return self.hex[:12]

    @property
    def file_name(self) -> str:
        """Name of the blob's file in ``blobs/``."""
        return f"sha256-{self.hex}"
