"""What one option accepts: its type, its range, and the check of a value."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from pyollama.errors import OptionError

__all__ = [
    "INT32_MAX",
    "LogitBias",
    "OptionSpec",
    "boolean",
    "integer",
    "number",
    "shown",
    "string",
    "strings",
]

LogitBias: TypeAlias = tuple[tuple[int | str, float], ...]
Kind: TypeAlias = Literal["integer", "float32", "boolean", "string", "array", "logit_bias", "switch"]

INT32_MAX = 2**31 - 1
# The engine computes in float32: dividing by less than this leaves infinities and then NaN.
TINY = 1e-30
# Names that other programs use for the same sampler.
SYNONYMS = {"typ_p": "typical_p", "typ": "typical_p", "tfs": "tfs_z", "temp": "temperature"}


class OptionSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What one option accepts. Documents, tests and PARAMETER of a Modelfile use it.

    ``low`` and ``high`` bound a number, the length of a string in characters, or each number of
    ``logit_bias``; both are inside the range. ``max_items`` and ``max_chars`` bound a list. ``at_least``:
    an accepted smaller number means the same as this one and becomes it. ``modulus``: a number from 0 up is
    taken modulo this. ``choices``: the only texts allowed.
    """

    name: str = ""
    group: Literal["load", "sampling"] = "load"
    kind: Kind
    default: Any = None
    low: float = -math.inf
    high: float = math.inf
    at_least: float = -math.inf
    modulus: int = 0
    choices: tuple[str, ...] = ()
    max_items: int = 0
    max_chars: int = 0
    doc: str = ""

    @property
    def type_text(self) -> str:
        """Name of the type in messages, such as ``integer``."""
        if self.kind == "switch":
            return f"boolean or {_one_of(self.choices)}"
        return "object" if self.kind == "logit_bias" else self.kind

    @property
    def range_text(self) -> str:
        """The range in words, such as ``between 0 and 1``; empty where there is none."""
        low, high = _number(self.low), _number(self.high)
        if self.kind == "array":
            each = _one_of(self.choices) if self.choices else f"1 to {self.max_chars} characters"
            return f"at most {self.max_items} strings, each {each}"
        if self.kind == "string":
            return _one_of(self.choices) if self.choices else f"at most {high} characters"
        if self.kind == "logit_bias":
            return f"at most {self.max_items} tokens, each between {low} and {high} or false"
        if self.kind in ("boolean", "switch"):
            return ""
        return "a finite number" if math.isinf(self.low) else f"between {low} and {high}"

    def check(self, value: Any) -> Any:
        """Return ``value`` in the form that the engine uses.

        Raises:
            OptionError: The type is wrong or the value is out of range.
        """
        return _CHECKS[self.kind](self, value)

    def refuse(self, value: object, why: str) -> OptionError:
        """The error that says ``why`` the value cannot be taken."""
        return OptionError(f'option "{self.name}" {why}', option=self.name, value=value)


def _one_of(texts: tuple[str, ...]) -> str:
    quoted = [f'"{text}"' for text in texts]
    return quoted[0] if len(quoted) == 1 else "one of " + ", ".join(quoted)


def _number(value: float) -> str:
    return str(int(value)) if math.isfinite(value) and value == int(value) else f"{value:g}"


def shown(value: object) -> str:
    """The value for a message: one line, short, made in bounded time whatever it is."""
    if isinstance(value, int) and value.bit_length() > 256:  # the time to print it grows with its square
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."
    if isinstance(value, (int, float)) or value is None:
        return repr(value)
    return f"a value of type {type(value).__name__}"


def _check_number(spec: OptionSpec, value: Any) -> Any:
    """An int, or a float; also numpy's. A bool is neither."""
    whole = spec.kind == "integer"
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise spec.refuse(value, f"must be of type {spec.type_text}")
    number: int | float
    try:
        number = int(value) if isinstance(value, numbers.Integral) else float(value)
        if whole:
            number = int(number)  # toward zero
        elif abs(number := float(number)) < TINY:
            number = 0.0
        elif not math.isfinite(number):
            raise ValueError
    except (ValueError, OverflowError):
        raise spec.refuse(value, f"must be {spec.range_text}, got {shown(value)}") from None
    if not spec.low <= number <= spec.high:
        raise spec.refuse(value, f"must be {spec.range_text}, got {shown(value)}")
    if spec.modulus and number >= 0:
        # One below the largest: as an unsigned 32-bit number the largest means "random" to llama.cpp.
        return min(int(number) % spec.modulus, spec.modulus - 2)
    return type(number)(spec.at_least) if number < spec.at_least else number


def _check_boolean(spec: OptionSpec, value: Any) -> bool:
    if not isinstance(value, bool):
        raise spec.refuse(value, f"must be of type {spec.type_text}")
    return value


def _check_switch(spec: OptionSpec, value: Any) -> bool | str:
    if isinstance(value, bool) or (isinstance(value, str) and value in spec.choices):
        return value
    raise spec.refuse(value, f"must be of type {spec.type_text}")


def _check_text(spec: OptionSpec, value: Any, what: str) -> str:
    """Text that survives the way into native code: valid Unicode, no NUL."""
    text = str(value)
    if "\0" in text or not (text.isascii() or _is_unicode(text)):
        raise spec.refuse(value, f"must be {what} without NUL characters and unpaired surrogates")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_string(spec: OptionSpec, value: Any) -> str:
    if not isinstance(value, str):
        raise spec.refuse(value, f"must be of type {spec.type_text}")
    if len(value) > spec.high:
        raise spec.refuse(value, f"must be {spec.range_text}, got {len(value)}")
    if spec.choices:
        if value.lower() not in spec.choices:
            raise spec.refuse(value, f"must be {spec.range_text}, got {shown(value)}")
        return value.lower()
    return _check_text(spec, value, "text")


def _check_array(spec: OptionSpec, value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise spec.refuse(value, f"must be of type {spec.type_text}")
    if not all(isinstance(item, str) for item in value):
        raise spec.refuse(value, "must be of an array of strings")
    if len(value) > spec.max_items:
        raise spec.refuse(value, f"must be {spec.range_text}, got {len(value)} strings")
    if spec.choices:
        value = tuple(SYNONYMS.get(item, item) for item in value)
        for index, item in enumerate(value):
            if item not in spec.choices:
                raise spec.refuse(value, f"must be {spec.range_text}, got {shown(item)}")
            if item in value[:index]:
                raise spec.refuse(value, f"must not name {shown(item)} twice")
        return tuple(value)
    for item in value:
        if not 1 <= len(item) <= spec.max_chars:
            raise spec.refuse(value, f"must be {spec.range_text}, got a string of {len(item)}")
    return tuple(_check_text(spec, item, "strings") for item in value)


def _check_logit_bias(spec: OptionSpec, value: Any) -> LogitBias:
    """``{"15043": 1.5, "Hello": false}`` or ``[[15043, 1.5], ["Hello", false]]``; false means never.

    In the first form a key that is a decimal number is a token id; in the second a string is always text.
    """
    if isinstance(value, Mapping):
        pairs = [(int(key) if _is_token_id(key) else key, bias) for key, bias in value.items()]
    elif isinstance(value, (list, tuple)):
        if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in value):
            raise spec.refuse(value, "must be an object, or an array of [token, bias] pairs")
        pairs = [(token, bias) for token, bias in value]
    else:
        raise spec.refuse(value, f"must be of type {spec.type_text}")
    if len(pairs) > spec.max_items:
        raise spec.refuse(value, f"must be {spec.range_text}, got {len(pairs)} tokens")
    checked: dict[int | str, float] = {}
    for token, bias in pairs:
        if isinstance(token, numbers.Integral) and not isinstance(token, bool):
            token = int(token)
            if not 0 <= token <= INT32_MAX:
                raise spec.refuse(value, f"must name tokens between 0 and {INT32_MAX}, got {shown(token)}")
        elif isinstance(token, str) and 1 <= len(token) <= spec.max_chars:
            token = _check_text(spec, token, "text")
        else:
            raise spec.refuse(value, f"must name tokens by number or by text, got {shown(token)}")
        if bias is False or (isinstance(bias, float) and bias == -math.inf):
            checked[token] = -math.inf
        else:
            checked[token] = _check_number(spec, bias)
    return tuple(checked.items())


def _is_token_id(key: Any) -> bool:
    return isinstance(key, str) and 0 < len(key) <= 10 and key.isascii() and key.isdecimal()


_CHECKS: dict[Kind, Callable[[OptionSpec, Any], Any]] = {
    "integer": _check_number,
    "float32": _check_number,
    "boolean": _check_boolean,
    "string": _check_string,
    "array": _check_array,
    "logit_bias": _check_logit_bias,
    "switch": _check_switch,
}


def integer(low: int, high: int, doc: str, at_least: float = -math.inf) -> OptionSpec:
    return OptionSpec(kind="integer", low=low, high=high, at_least=at_least, doc=doc)


def number(low: float, high: float, doc: str) -> OptionSpec:
    return OptionSpec(kind="float32", low=low, high=high, doc=doc)


def boolean(doc: str) -> OptionSpec:
    return OptionSpec(kind="boolean", doc=doc)


def strings(max_items: int, max_chars: int, doc: str, choices: tuple[str, ...] = ()) -> OptionSpec:
    return OptionSpec(kind="array", max_items=max_items, max_chars=max_chars, doc=doc, choices=choices)


def string(max_chars: int, doc: str, choices: tuple[str, ...] = ()) -> OptionSpec:
    return OptionSpec(kind="string", high=max_chars, doc=doc, choices=choices)
