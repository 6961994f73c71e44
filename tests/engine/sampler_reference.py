"""The samplers once more, in numpy and float64, each from the text that introduced it.

Nothing here looks at how the engine works: candidates are always all sorted, there are no fast paths and no
buffers. A candidate is a token whose logit is a number above minus infinity.

Sources:

- repeat penalty: CTRL, arXiv:1909.05858, with the usual correction for logits that are not positive;
  frequency and presence penalties: OpenAI's API reference
- DRY: https://github.com/oobabooga/text-generation-webui/pull/5677
- top n sigma: arXiv:2411.07641
- tail free: https://www.trentonbricken.com/Tail-Free-Sampling/; as in llama.cpp, the token at which the sum
  first exceeds z is cut off too
- locally typical: arXiv:2202.00666
- top p: arXiv:1904.09751; min p: arXiv:2407.01082
- XTC: https://github.com/oobabooga/text-generation-webui/pull/6335
- dynamic temperature: https://github.com/ggml-org/llama.cpp/pull/4972
- Mirostat: arXiv:2007.14966; as in llama.cpp, the surprise that is fed back is that of the token among the
  candidates that were left
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Candidates", "History", "Mirostat", "chi_square_limit", "distribution"]


@dataclass(frozen=True)
class History:
    """What came before: the tokens, and what the vocabulary says about them.

    ``newline`` is the token that may be spared, ``breakers`` are token sequences that end a repetition.
    """

    tokens: Sequence[int] = ()
    newline: int = -1
    breakers: Iterable[tuple[int, ...]] = ()


class Candidates:
    """Token ids and logits, the best first, equal ones by id."""

    def __init__(self, ids: np.ndarray, logits: np.ndarray) -> None:
        order = np.lexsort((ids, -logits))
        self.ids, self.logits = ids[order], logits[order]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def p(self) -> np.ndarray:
        weights = np.exp(self.logits - self.logits[0])
        return weights / weights.sum()

    @property
    def entropy(self) -> float:
        p = self.p[self.p > 0]
        return float(-(p * np.log(p)).sum())

    def only(self, which: Any) -> Candidates:
        """Those at the positions or in the slice or mask."""
        return Candidates(self.ids[which], self.logits[which])

    def plus(self, changes: dict[int, float]) -> Candidates:
        """With something added to the logits of some tokens."""
        return Candidates(self.ids, self.logits + [changes.get(token, 0.0) for token in self.ids.tolist()])


def penalties(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.repeat_last_n <= 0:
        return candidates
    logits = dict(zip(candidates.ids.tolist(), candidates.logits.tolist(), strict=True))
    counts = Counter(history.tokens[-options.repeat_last_n :])
    if not options.penalize_newline:
        del counts[history.newline]
    for token, count in counts.items():
        if token in logits:
            logit = logits[token]
            logit = logit / options.repeat_penalty if logit > 0 else logit * options.repeat_penalty
            logits[token] = logit - count * options.frequency_penalty - options.presence_penalty
    return Candidates(np.array(list(logits)), np.array(list(logits.values())))


def dry(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.dry_multiplier == 0 or options.dry_base < 1 or options.dry_penalty_last_n <= 0:
        return candidates
    window = list(history.tokens[-options.dry_penalty_last_n :])
    limit = len(window)  # a repetition cannot reach back over the last breaker
    for start in range(len(window)):
        found = [
            breaker for breaker in history.breakers if tuple(window[start : start + len(breaker)]) == breaker
        ]
        if found:
            limit = len(window) - start - max(map(len, found))
    longest: dict[int, int] = {}  # token -> longest end of the window that stood before it already
    for end in range(1, len(window)):
        length = 0
        while length < min(end, limit) and window[end - 1 - length] == window[-1 - length]:
            length += 1
        longest[window[end]] = max(longest.get(window[end], 0), length)
    single = {breaker[0] for breaker in history.breakers if len(breaker) == 1}
    return candidates.plus(
        {
            token: -options.dry_multiplier * options.dry_base ** (length - options.dry_allowed_length)
            for token, length in longest.items()
            if length >= options.dry_allowed_length and limit >= options.dry_allowed_length
            if token not in single
        }
    )


def top_n_sigma(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.top_n_sigma <= 0:
        return candidates
    least = candidates.logits[0] - options.top_n_sigma * candidates.logits.std()
    return candidates.only(candidates.logits >= least)


def top_k(candidates: Candidates, options: Any, history: History) -> Candidates:
    return candidates.only(slice(options.top_k)) if options.top_k > 0 else candidates


def tfs_z(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.tfs_z >= 1 or len(candidates) <= 2:
        return candidates
    weights = np.abs(np.diff(candidates.p, n=2))
    weights = weights / weights.sum() if weights.sum() > 1e-6 else np.full(len(weights), 1 / len(weights))
    above = np.flatnonzero(np.cumsum(weights) > options.tfs_z)
    above = above[above >= options.min_keep]
    return candidates.only(slice(max(above[0], 1) if len(above) else None))


def typical_p(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.typical_p >= 1:
        return candidates
    with np.errstate(divide="ignore"):
        order = np.argsort(np.abs(-np.log(candidates.p) - candidates.entropy), kind="stable")
    return candidates.only(order[: _enough(candidates.p[order], options.typical_p, options.min_keep)])


def top_p(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.top_p >= 1:
        return candidates
    return candidates.only(slice(_enough(candidates.p, options.top_p, options.min_keep)))


def _enough(p: np.ndarray, mass: float, min_keep: int) -> int:
    """How many, from the first on, have the mass together; at least min_keep."""
    return max(int(np.searchsorted(np.cumsum(p), mass)) + 1, min_keep)


def min_p(candidates: Candidates, options: Any, history: History) -> Candidates:
    if options.min_p <= 0:
        return candidates
    n_likely = int((candidates.logits >= candidates.logits[0] + math.log(options.min_p)).sum())
    return candidates.only(slice(max(n_likely, options.min_keep)))


def xtc(candidates: Candidates, options: Any, history: History) -> Candidates:
    """As if the dice always said yes."""
    if options.xtc_probability <= 0 or options.xtc_threshold > 0.5:
        return candidates
    n_likely = int((candidates.p >= options.xtc_threshold).sum())
    removed = max(n_likely - 1, 0)
    return (
        candidates.only(slice(removed, None)) if len(candidates) - removed >= options.min_keep else candidates
    )


def temperature(candidates: Candidates, options: Any, history: History) -> Candidates:
    value, spread = options.temperature, options.dynatemp_range
    if spread > 0:
        if len(candidates) == 1:
            return candidates
        share = candidates.entropy / math.log(len(candidates))
        low = max(value - spread, 0.0)
        value = low + (value + spread - low) * share**options.dynatemp_exponent
    if value <= 0:
        return candidates.only(slice(1))
    return Candidates(candidates.ids, candidates.logits / value)


SAMPLERS: dict[str, Callable[[Candidates, Any, History], Candidates]] = {
    function.__name__: function
    for function in (
        *(penalties, dry, top_n_sigma, top_k, tfs_z),
        *(typical_p, top_p, min_p, xtc, temperature),
    )
}


def distribution(
    logits: np.ndarray, options: Any, history: History | None = None, bias: Iterable[tuple[int, float]] = ()
) -> Candidates:
    """The candidates that are left after all samplers of the options, in their order."""
    row = logits.astype(np.float64)
    for token, value in bias:
        row[token] += value
    ids = np.flatnonzero(row > -np.inf)  # false for NaN too
    candidates = Candidates(ids, row[ids])
    names = options.samplers
    if options.mirostat:
        names = [*(name for name in names if name in ("penalties", "dry")), "temperature"]
    for name in names:
        candidates = SAMPLERS[name](candidates, options, history or History())
    return candidates


class Mirostat:
    """Algorithms 1 and 2 of the paper, drawing as the C++ standard library does from the same seed."""

    M = 100  # the paper estimates s from so many tokens

    def __init__(self, options: Any, seed: int, n_vocab: int) -> None:
        self.options = options
        self.n_vocab = n_vocab
        self.mu = 2.0 * options.mirostat_tau
        self.random = np.random.RandomState(seed)  # the same generator and seeding as std::mt19937

    def uniform(self) -> float:
        """std::generate_canonical<double, 53>."""
        low, high = np.frombuffer(self.random.bytes(8), "<u4").tolist()
        return (low + high * 2.0**32) / 2.0**64

    def truncated(self, candidates: Candidates) -> Candidates:
        """What may be drawn now."""
        p = candidates.p
        if self.options.mirostat == 2:
            return candidates.only(slice(max(int((-np.log2(p) <= self.mu).sum()), 1)))
        n = min(self.M, len(p))
        rank = np.arange(1, n)
        t, b = np.log((rank + 1) / rank), np.log(p[: n - 1] / p[1:n])
        s = float((t * b).sum() / (t * t).sum())
        epsilon = s - 1
        k = ((epsilon * 2**self.mu) / (1 - self.n_vocab**-epsilon)) ** (1 / s)
        return candidates.only(slice(max(int(min(k, self.n_vocab)), 1)))

    def draw(self, candidates: Candidates) -> int:
        """One step: draw, then move mu so that the surprise goes to tau."""
        left = self.truncated(candidates)
        index = 0 if len(left) == 1 else int(np.searchsorted(np.cumsum(left.p), self.uniform()))
        index = min(index, len(left) - 1)
        self.mu -= self.options.mirostat_eta * (-math.log2(left.p[index]) - self.options.mirostat_tau)
        return int(left.ids[index])


def chi_square_limit(n_free: int) -> float:
    """What chi-square exceeds once in 10000 times (approximation of Wilson and Hilferty)."""
    part = 2 / (9 * n_free)
    return n_free * (1 - part + 3.719 * math.sqrt(part)) ** 3
