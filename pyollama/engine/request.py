"""What an engine is asked for."""

from __future__ import annotations

import secrets

import msgspec

from pyollama.engine.options import SamplingOptions

__all__ = ["GenerationRequest"]

# llama.cpp takes the largest one as "random".
MAX_SEED = 2**32 - 2


class GenerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One text to generate.

    Args:
        prompt: Token ids; at least one.
        sampling: How tokens are chosen, and when to stop.
        grammar: GBNF; wins over ``sampling.grammar``. Empty: that one.
        stop: Stop strings beside ``sampling.stop``.
        num_ctx: Most tokens in the context, 0: all that the engine has.
        num_batch: Most prompt tokens in one step; 0: as the engine.
        logprobs: None, or how many of the best alternatives to report beside the chosen token.
        shift: Whether a full context drops its older half and goes on; False: the text ends there.
        cache_prompt: Whether cells of earlier requests may be used.
        show_special: Whether control tokens are part of the text.
    """

    prompt: tuple[int, ...]
    sampling: SamplingOptions = SamplingOptions()
    grammar: str = ""
    stop: tuple[str, ...] = ()
    num_ctx: int = 0
    num_batch: int = 0
    logprobs: int | None = None
    shift: bool = True
    cache_prompt: bool = True
    show_special: bool = False

    def seed(self) -> int:
        """The random seed to use: as given, else a new one."""
        given = self.sampling.seed
        return given if given >= 0 else secrets.randbelow(MAX_SEED + 1)

    def limit(self, n_ctx: int) -> int:
        """Most tokens to generate, negative: no limit but the context.

        Without a limit of its own a text ends after ten contexts, as with Ollama: a model that has lost itself
        would go on for ever.
        """
        wanted = self.sampling.num_predict
        return 10 * n_ctx if wanted == -1 else wanted

    def may_shift(self) -> bool:
        """Whether a full context goes on; ``num_predict`` -2 asks to end there."""
        return self.shift and self.sampling.num_predict != -2
