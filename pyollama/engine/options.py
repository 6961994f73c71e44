"""The options of a request: every number checked before native code sees it.

Three kinds of value live here:

- `Options` is what somebody gave: a request, a model's parameters, the settings of a server. Every field may
  be ``UNSET``, "not given".
- `LoadOptions` and `SamplingOptions` are complete: every option has a value. The first group decides how a
  model is loaded (requests with equal `LoadOptions` can share a loaded model), the second how a request runs.
- `OPTIONS` is the table of all options: type, default, range and a line of documentation for each. It is read
  from the annotations of the two complete groups, so an option is described in one place.

None of them can hold a bad value: each checks itself by the table when it is made, also after it came over a
socket.

Example::

    given = Options.parse({"temperature": 0.2, "num_ctx": 8192})
    resolved = Options.merge(given, model_parameters).resolve()
    resolved.load.num_ctx, resolved.sampling.temperature, resolved.sampling.top_k   # 8192, 0.2, 40
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import UNSET, UnsetType

from pyollama.engine.option_spec import (
    INT32_MAX,
    LogitBias,
    OptionSpec,
    boolean,
    integer,
    number,
    shown,
    string,
    strings,
)
from pyollama.errors import InvalidRequest

__all__ = ["OPTIONS", "LoadOptions", "OptionSpec", "Options", "ResolvedOptions", "SamplingOptions"]

log = logging.getLogger("pyollama")

# In the default order.
SAMPLERS = (
    *("penalties", "dry", "top_n_sigma", "top_k", "tfs_z"),
    *("typical_p", "top_p", "min_p", "xtc", "temperature"),
)
KV_CACHE_TYPES = ("f16", "f32", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


class _Checked(msgspec.Struct, frozen=True, kw_only=True):
    """Checks every field by the table, whoever made the struct."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            spec = OPTIONS.get(name)
            # None is a value only where the default is None: "decided when the model is loaded".
            if spec is None or value is UNSET or (value is None and spec.default is None):
                continue
            checked = spec.check(value)
            if checked is not value:
                msgspec.structs.force_setattr(self, name, checked)


class LoadOptions(_Checked, frozen=True, kw_only=True):
    """The options that decide how a model is loaded; changing one means loading it again.

    ``None`` means that it is decided when the model is loaded.
    """

    num_ctx: Annotated[
        int | None,
        integer(1, 2**22, "Context of one request in tokens; None: by settings and memory.", at_least=4),
    ] = None
    num_batch: Annotated[int, integer(1, 65_536, "Most prompt tokens of one request in one step.")] = 512
    num_gqa: Annotated[int, integer(0, 512, "Query heads per key-value head, for files that lack it.")] = 1
    num_gpu: Annotated[int, integer(-1, 10_000, "Layers on the GPU; -1: as many as fit, 0: none.")] = -1
    main_gpu: Annotated[int | None, integer(0, 127, "GPU that holds what is not split.")] = None
    num_thread: Annotated[int, integer(0, 1_024, "Threads that compute; 0: one per physical core.")] = 0
    num_parallel: Annotated[int, integer(0, 256, "Requests that run at the same time; 0: by memory.")] = 0
    numa: Annotated[bool, boolean("Spread the work over NUMA nodes.")] = False
    low_vram: Annotated[bool, boolean("Keep the cache in main memory, not on the GPU.")] = False
    f16_kv: Annotated[bool, boolean("Cache in 16-bit floats; false: in 32-bit ones.")] = True
    kv_cache_type: Annotated[str, string(16, "Type of the cache; wins over f16_kv.", KV_CACHE_TYPES)] = "f16"
    flash_attention: Annotated[
        bool | Literal["auto"],
        OptionSpec(kind="switch", choices=("auto",), doc='Flash attention; "auto": where it is faster.'),
    ] = "auto"
    use_mmap: Annotated[bool | None, boolean("Map the file instead of reading it; None: automatic.")] = None
    use_mlock: Annotated[bool, boolean("Keep the weights in memory, never swapped out.")] = False
    vocab_only: Annotated[bool, boolean("Load the vocabulary only: tokenize and detokenize.")] = False
    embedding_only: Annotated[bool, boolean("Load for embeddings only.")] = False
    rope_frequency_base: Annotated[float, number(0, 1e12, "RoPE base frequency; 0: the model's.")] = 0.0
    rope_frequency_scale: Annotated[float, number(0, 100, "RoPE frequency scale; 0: the model's.")] = 0.0


class SamplingOptions(_Checked, frozen=True, kw_only=True):
    """The options that decide how one request runs."""

    num_keep: Annotated[
        int,
        integer(-(2**31), 2**22, "Prompt tokens kept when the context shifts; negative: all.", at_least=-1),
    ] = 4
    seed: Annotated[
        int,
        OptionSpec(
            kind="integer", at_least=-1, modulus=2**32, doc="Random seed; negative: a new one each time."
        ),
    ] = -1
    num_predict: Annotated[
        int,
        integer(-2, INT32_MAX, "Most tokens to generate; -1: no such limit, -2: until the context is full."),
    ] = -1
    top_k: Annotated[
        int, integer(-1, INT32_MAX, "Keep the k most likely tokens; 0 or -1: off.", at_least=0)
    ] = 40
    top_p: Annotated[float, number(0, 1, "Keep the most likely tokens that sum to p; 1: off.")] = 0.9
    min_p: Annotated[float, number(0, 1, "Drop tokens below p times the most likely one; 0: off.")] = 0.0
    tfs_z: Annotated[float, number(0, 1_000, "Tail free sampling; 1 and above: off.")] = 1.0
    typical_p: Annotated[float, number(0, 1, "Locally typical sampling; 1: off.")] = 1.0
    top_n_sigma: Annotated[
        float, number(-1, 1_000, "Logits within n deviations of the best; -1: off.")
    ] = -1.0
    xtc_probability: Annotated[float, number(0, 1, "Chance to drop the most likely tokens; 0: off.")] = 0.0
    xtc_threshold: Annotated[float, number(0, 1, "How likely a dropped token must be; above 0.5: off.")] = 0.1
    temperature: Annotated[float, number(0, 100, "Above 0: more varied; 0: always the most likely.")] = 0.8
    dynatemp_range: Annotated[float, number(0, 100, "Temperature follows entropy by this; 0: off.")] = 0.0
    dynatemp_exponent: Annotated[float, number(0, 100, "How temperature follows entropy.")] = 1.0
    repeat_last_n: Annotated[
        int, integer(-1, 2**20, "Tokens that penalties look at; 0: off, -1: num_ctx.")
    ] = 64
    repeat_penalty: Annotated[float, number(0.001, 1_000, "Divides logits of seen tokens; 1: off.")] = 1.0
    presence_penalty: Annotated[float, number(-100, 100, "Taken once from a seen token's logit.")] = 0.0
    frequency_penalty: Annotated[float, number(-100, 100, "Taken from the logit each time it was seen.")] = (
        0.0
    )
    penalize_newline: Annotated[bool, boolean("Penalties apply to the newline token too.")] = True
    dry_multiplier: Annotated[float, number(0, 100, "DRY repetition penalty; 0: off.")] = 0.0
    dry_base: Annotated[float, number(0, 100, "DRY: growth per repeated token; below 1: off.")] = 1.75
    dry_allowed_length: Annotated[int, integer(0, 2**20, "DRY: repeats up to this length are free.")] = 2
    dry_penalty_last_n: Annotated[
        int, integer(-1, 2**20, "DRY: tokens it looks at; 0: off, -1: num_ctx.")
    ] = 64
    dry_sequence_breakers: Annotated[
        tuple[str, ...], strings(32, 40, "DRY: texts that end a repeated sequence.")
    ] = ("\n", ":", '"', "*")
    mirostat: Annotated[int, integer(0, 2, "Mirostat version, in place of the samplers; 0: off.")] = 0
    mirostat_tau: Annotated[float, number(0, 1_000, "Mirostat: target surprise.")] = 5.0
    mirostat_eta: Annotated[float, number(0, 100, "Mirostat: learning rate.")] = 0.1
    samplers: Annotated[tuple[str, ...], strings(10, 16, "Samplers in their order.", SAMPLERS)] = SAMPLERS
    min_keep: Annotated[int, integer(0, 2**20, "Tokens that each sampler must leave.")] = 0
    logit_bias: Annotated[
        LogitBias,
        OptionSpec(
            kind="logit_bias",
            low=-1_000,
            high=1_000,
            max_items=4_096,
            max_chars=200,
            doc="Added to the logits of tokens, named by number or by text; false: never.",
        ),
    ] = ()
    grammar: Annotated[str, string(262_144, "GBNF grammar that the output follows; empty: none.")] = ""
    ignore_eos: Annotated[bool, boolean("Do not stop at the end-of-sequence token.")] = False
    stop: Annotated[tuple[str, ...], strings(64, 1_000, "Texts that end the output and are cut off.")] = ()
    draft_num_predict: Annotated[
        int | None, integer(0, 256, "Speculative tokens per step; None: 4 with a draft model, else 0.")
    ] = None
    strict: Annotated[bool, boolean("Refuse a schema with something that cannot be enforced.")] = False


def _table() -> dict[str, OptionSpec]:
    table = {}
    for group, owner in (("load", LoadOptions), ("sampling", SamplingOptions)):
        hints = get_type_hints(owner, include_extras=True)
        for field in msgspec.structs.fields(owner):
            (spec,) = hints[field.name].__metadata__
            about = {"name": field.name, "group": group, "default": field.default}
            table[field.name] = msgspec.structs.replace(spec, **about)
    return table


OPTIONS: dict[str, OptionSpec] = _table()
"""Every option by name, the load options first."""


class ResolvedOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Every option with a value, in the two groups."""

    load: LoadOptions = LoadOptions()
    sampling: SamplingOptions = SamplingOptions()


class Options(_Checked, frozen=True, kw_only=True, omit_defaults=True):
    """The options that somebody gave; the others are ``UNSET``. What each one means stands in `OPTIONS`.

    Values are checked and brought into one form when the object is made: a fractional number for an integer
    option is cut toward zero, a list becomes a tuple, ``False`` in ``logit_bias`` becomes minus infinity.

    Raises:
        OptionError: A value has the wrong type or is out of range.

    Example::

        Options(temperature=0, seed=42, stop=("\\n",))
    """

    num_ctx: int | UnsetType = UNSET
    num_batch: int | UnsetType = UNSET
    num_gqa: int | UnsetType = UNSET
    num_gpu: int | UnsetType = UNSET
    main_gpu: int | UnsetType = UNSET
    num_thread: int | UnsetType = UNSET
    num_parallel: int | UnsetType = UNSET
    numa: bool | UnsetType = UNSET
    low_vram: bool | UnsetType = UNSET
    f16_kv: bool | UnsetType = UNSET
    kv_cache_type: str | UnsetType = UNSET
    flash_attention: bool | Literal["auto"] | UnsetType = UNSET
    use_mmap: bool | UnsetType = UNSET
    use_mlock: bool | UnsetType = UNSET
    vocab_only: bool | UnsetType = UNSET
    embedding_only: bool | UnsetType = UNSET
    rope_frequency_base: float | UnsetType = UNSET
    rope_frequency_scale: float | UnsetType = UNSET
    num_keep: int | UnsetType = UNSET
    seed: int | UnsetType = UNSET
    num_predict: int | UnsetType = UNSET
    top_k: int | UnsetType = UNSET
    top_p: float | UnsetType = UNSET
    min_p: float | UnsetType = UNSET
    tfs_z: float | UnsetType = UNSET
    typical_p: float | UnsetType = UNSET
    top_n_sigma: float | UnsetType = UNSET
    xtc_probability: float | UnsetType = UNSET
    xtc_threshold: float | UnsetType = UNSET
    temperature: float | UnsetType = UNSET
    dynatemp_range: float | UnsetType = UNSET
    dynatemp_exponent: float | UnsetType = UNSET
    repeat_last_n: int | UnsetType = UNSET
    repeat_penalty: float | UnsetType = UNSET
    presence_penalty: float | UnsetType = UNSET
    frequency_penalty: float | UnsetType = UNSET
    penalize_newline: bool | UnsetType = UNSET
    dry_multiplier: float | UnsetType = UNSET
    dry_base: float | UnsetType = UNSET
    dry_allowed_length: int | UnsetType = UNSET
    dry_penalty_last_n: int | UnsetType = UNSET
    dry_sequence_breakers: tuple[str, ...] | UnsetType = UNSET
    mirostat: int | UnsetType = UNSET
    mirostat_tau: float | UnsetType = UNSET
    mirostat_eta: float | UnsetType = UNSET
    samplers: tuple[str, ...] | UnsetType = UNSET
    min_keep: int | UnsetType = UNSET
    logit_bias: LogitBias | UnsetType = UNSET
    grammar: str | UnsetType = UNSET
    ignore_eos: bool | UnsetType = UNSET
    stop: tuple[str, ...] | UnsetType = UNSET
    draft_num_predict: int | UnsetType = UNSET
    strict: bool | UnsetType = UNSET
    unknown: tuple[str, ...] = ()
    """Names that were given and are no options, in their order; they have no effect."""

    @classmethod
    def parse(cls, given: Options | Mapping[str, Any] | None) -> Options:
        """Read the ``options`` object of a request, or the parameters of a model.

        ``None`` as a value means "not given". An unknown name is logged and kept in ``unknown``.

        Args:
            given: Names and values; an `Options` is returned as it is.

        Raises:
            OptionError: A value has the wrong type or is out of range.
            InvalidRequest: ``given`` is not a mapping from names.

        Example::

            Options.parse({"num_ctx": 8192, "stop": ["\\n"], "top_k": None})
        """
        if isinstance(given, Options):
            return given
        if given is None:
            return NO_OPTIONS
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise InvalidRequest(f"options must be an object of names and values, got {shown(given)}")
        known = {name: value for name, value in given.items() if value is not None and name in OPTIONS}
        # Bounded, because a log line and an attribute should not grow with what a client sends.
        unknown = tuple(name[:80] for name in given if name not in OPTIONS)[:32]
        if unknown:
            log.warning("unknown options ignored: %s", ", ".join(repr(name) for name in unknown))
        return cls(**known, unknown=unknown)

    @classmethod
    def merge(cls, *layers: Options | Mapping[str, Any] | None) -> Options:
        """Lay options over each other: for each name the first layer that gives it decides.

        Args:
            layers: The strongest first: request, model parameters, settings of the server.

        Raises:
            OptionError: As `parse`.
        """
        parsed = [cls.parse(layer) for layer in layers]
        merged: dict[str, Any] = {}
        for layer in reversed(parsed):
            merged.update(layer.given())
        unknown = dict.fromkeys(name for layer in parsed for name in layer.unknown)
        return cls(**merged, unknown=tuple(unknown))

    def __repr__(self) -> str:
        return f"Options({', '.join(f'{name}={value!r}' for name, value in self.given().items())})"

    def given(self) -> dict[str, Any]:
        """The names and values that were given."""
        values = ((name, getattr(self, name)) for name in OPTIONS)
        return {name: value for name, value in values if value is not UNSET}

    def resolve(self) -> ResolvedOptions:
        """Fill in the defaults.

        Example::

            Options(top_k=5).resolve().sampling.temperature   # 0.8
        """
        given = self.given()
        if given.get("f16_kv") is False:
            given.setdefault("kv_cache_type", "f32")
        load = {name: value for name, value in given.items() if OPTIONS[name].group == "load"}
        sampling = {name: value for name, value in given.items() if OPTIONS[name].group == "sampling"}
        return ResolvedOptions(load=LoadOptions(**load), sampling=SamplingOptions(**sampling))


NO_OPTIONS = Options()
