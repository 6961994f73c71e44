"""Every sampler against the numpy reference, and what a caller of the sampler relies on."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from pyollama.engine.options import SAMPLERS, SamplingOptions
from pyollama.errors import EngineError, GrammarError, InvalidRequest
from pyollama.native.sampler import Sampler

from . import sampler_reference as reference
from .sampler_reference import History

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}


def options(**given) -> SamplingOptions:
    """Options with every sampler off but the ones that are named."""
    return SamplingOptions(**{**OFF, **given})


def make_logits(n_vocab: int, scale: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, n_vocab).astype(np.float32)


@pytest.fixture(params=[0.3, 3.0, 10.0], ids=["flat", "usual", "steep"])
def logits(request, vocab) -> np.ndarray:
    return make_logits(vocab.n_vocab, request.param)


@pytest.fixture
def usual(vocab) -> np.ndarray:
    return make_logits(vocab.n_vocab, 3.0)


@pytest.fixture(scope="session")
def newline(vocab) -> int:
    (token,) = vocab.tokenize("\n", add_special=False)
    return token


@pytest.fixture(scope="session")
def breakers(vocab) -> list[tuple[int, ...]]:
    """The tokens with one of the default DRY breakers in them."""
    pieces = {token: vocab.piece(token) for token in range(vocab.n_vocab)}
    return [
        (token,)
        for token, piece in pieces.items()
        if any(text in piece for text in (b"\n", b":", b'"', b"*"))
    ]


def assert_same(got: list[tuple[int, float, float]], want: reference.Candidates) -> None:
    """The same tokens with the same probabilities, best first.

    A sum in float32 may reach a threshold one very unlikely token earlier or later.
    """
    probabilities = [p for _, _, p in got]
    assert probabilities == sorted(probabilities, reverse=True)
    got_p = {token: p for token, _, p in got if p > 1e-30}
    want_p = {token: p for token, p in zip(want.ids.tolist(), want.p.tolist(), strict=True) if p > 1e-30}
    only_one = got_p.keys() ^ want_p.keys()
    assert sum(max(got_p.get(token, 0.0), want_p.get(token, 0.0)) for token in only_one) < 5e-5, only_one
    both = sorted(got_p.keys() & want_p.keys())
    assert both
    got_values, want_values = ([values[token] for token in both] for values in (got_p, want_p))
    np.testing.assert_allclose(got_values, want_values, rtol=1e-3, atol=1e-9)


def check(vocab, given, logits, history=None, bias=(), n_prompt=0) -> None:
    sampler = Sampler(vocab, given, seed=1, logit_bias=bias)
    if history:
        sampler.accept_prompt(history.tokens[:n_prompt])
        sampler.accept(history.tokens[n_prompt:])
    assert_same(sampler.distribution(logits), reference.distribution(logits, given, history, bias))


ALONE = [
    {},
    *({"top_k": k} for k in (1, 7, 200, 4095, 4096, 1_000_000)),
    *({"top_p": p} for p in (0.0, 0.1, 0.5, 0.9, 0.99)),
    *({"top_p": 0.01, "min_keep": n} for n in (1, 10, 300)),
    *({"min_p": p} for p in (0.01, 0.3, 1.0)),
    *({"min_p": 0.9, "min_keep": n} for n in (1, 10, 300)),
    *({"typical_p": p} for p in (0.05, 0.5, 0.95)),
    *({"typical_p": 0.01, "min_keep": n} for n in (1, 10, 300)),
    *({"tfs_z": z} for z in (0.0, 0.2, 0.5, 0.9, 0.97)),
    *({"tfs_z": 0.01, "min_keep": n} for n in (1, 10, 300)),
    *({"top_n_sigma": n} for n in (0.1, 1.0, 2.5)),
    *({"xtc_probability": 1.0, "xtc_threshold": t} for t in (0.0, 0.02, 0.1, 0.5, 0.51)),
    *({"xtc_probability": 1.0, "xtc_threshold": 0.02, "top_k": 5, "min_keep": n} for n in (1, 4, 5)),
    *({"temperature": t} for t in (0.05, 0.5, 1.7, 20.0)),
    *({"dynatemp_range": r} for r in (0.2, 1.0, 3.0)),
    *({"dynatemp_range": 0.5, "dynatemp_exponent": e} for e in (0.0, 0.5, 3.0)),
    *({"dynatemp_range": 0.5, "temperature": 0.7, "top_k": k} for k in (1, 2, 40)),
]


@pytest.mark.parametrize("given", ALONE, ids=str)
def test_one_sampler(given, vocab, logits):
    """Catches: a sampler that keeps one token too many or too few, or scales wrongly."""
    check(vocab, options(**given), logits)


ALL_ON = {
    "top_n_sigma": 3.0,
    "top_k": 60,
    "tfs_z": 0.98,
    "typical_p": 0.9,
    "top_p": 0.95,
    "min_p": 0.02,
    "xtc_probability": 1.0,
    "xtc_threshold": 0.06,
    "temperature": 0.8,
    "dynatemp_range": 0.3,
}


@pytest.mark.parametrize("seed", range(5))
def test_all_samplers(seed, vocab):
    """Catches: samplers that are right alone but pass wrong candidates on."""
    check(vocab, options(**ALL_ON), make_logits(vocab.n_vocab, 2.0, seed))
    check(vocab, SamplingOptions(), make_logits(vocab.n_vocab, 2.0, seed))


def test_order_of_samplers(vocab):
    """Catches: an order that is not the one that was asked for, and a sampler that runs though it is not named."""
    logits = make_logits(vocab.n_vocab, 2.0)
    names = ["top_k", "typical_p", "top_p", "xtc", "temperature"]
    given = {"top_k": 12, "typical_p": 0.7, "top_p": 0.6, "xtc_probability": 1.0, "xtc_threshold": 0.05}
    results = set()
    for order in [*itertools.permutations(names), *itertools.permutations(names, 2), ()]:
        asked = options(**given, temperature=2.0, samplers=order)
        check(vocab, asked, logits)
        results.add(tuple(reference.distribution(logits, asked).p))
    assert len(results) > 20  # or the order would not have mattered


@pytest.mark.parametrize("position", range(len(SAMPLERS)))
def test_position_of_penalties(position, vocab, usual):
    """Catches: penalties that come first whatever the order says, as the fast path has them."""
    order = [name for name in SAMPLERS if name != "penalties"]
    order.insert(position, "penalties")
    best = np.argsort(-usual)[:30].tolist()
    given = options(**ALL_ON, repeat_penalty=1.5, presence_penalty=2.0, samplers=order)
    check(vocab, given, usual, History(best[::2] * 2))


PENALTIES = [
    {"repeat_penalty": 1.3},
    {"repeat_penalty": 0.5},
    {"frequency_penalty": 0.7},
    {"frequency_penalty": -0.7},
    {"presence_penalty": 1.5},
    {"presence_penalty": -1.5},
    {"repeat_penalty": 1.3, "frequency_penalty": 0.2, "presence_penalty": 0.5},
]


@pytest.mark.parametrize("given", PENALTIES, ids=str)
@pytest.mark.parametrize("last_n", [0, 1, 8, 64, 1000])
def test_penalties(given, last_n, vocab, usual):
    """Catches: a wrong formula for logits of either sign, a wrong window, a prompt that does not count."""
    by_logit = np.argsort(-usual).tolist()
    tokens = np.random.default_rng(1).choice(by_logit[:20] + by_logit[-20:], 100).tolist()
    for n_prompt in (0, 50, 97, 100):
        check(vocab, options(**given, repeat_last_n=last_n), usual, History(tokens), n_prompt=n_prompt)
    check(vocab, options(**given, repeat_last_n=last_n, top_k=10), usual, History(tokens))


@pytest.mark.parametrize("order", [SAMPLERS, (*SAMPLERS[1:], "penalties")], ids=["first", "last"])
@pytest.mark.parametrize("penalize", [True, False])
def test_penalize_newline(penalize, order, vocab, usual, newline):
    """Catches: a newline that is penalized though it is to be spared, or the other way round."""
    history = History([newline, 300, newline, 301], newline)
    given = options(repeat_penalty=2.0, presence_penalty=1.0, penalize_newline=penalize, samplers=order)
    check(vocab, given, usual, history)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"dry_allowed_length": 0},
        {"dry_allowed_length": 1, "dry_base": 1.0},
        {"dry_allowed_length": 4},
        {"dry_penalty_last_n": 7},
        {"dry_penalty_last_n": 20, "dry_allowed_length": 1},
        {"dry_penalty_last_n": 0},
        {"dry_base": 0.9},
        {"dry_base": 3.0, "top_k": 20},
    ],
    ids=str,
)
def test_dry(given, vocab, usual, newline, breakers):
    """Catches: a wrong length of a repetition, also where repetitions overlap or a breaker cuts them."""
    random = np.random.default_rng(2)
    asked = options(**{"dry_multiplier": 0.8, "dry_penalty_last_n": 64, "repeat_penalty": 1.0, **given})
    for n_letters, n_tokens in itertools.product((1, 2, 4), (0, 1, 2, 3, 9, 30, 80)):
        letters = [300, 301, 302, newline][:n_letters]
        tokens = random.choice(letters, n_tokens).tolist()
        check(vocab, asked, usual, History(tokens, breakers=breakers), n_prompt=n_tokens // 2)


def test_dry_penalty_cannot_overflow(vocab, usual):
    """Catches: a long loop whose penalty overflows to a NaN that spreads over all candidates."""
    sampler = Sampler(vocab, options(dry_multiplier=100.0, dry_base=100.0, dry_penalty_last_n=4000))
    sampler.accept([300] * 4000)
    got = sampler.distribution(usual)
    assert len(got) == vocab.n_vocab
    assert not any(math.isnan(p) for _, _, p in got)
    assert {token: p for token, _, p in got}[300] == 0


def test_dry_breakers(vocab, usual):
    """Catches: breakers of several tokens that are not found, and a breaker that is itself penalized."""
    z, q, a, b, c = (vocab.tokenize(letter, add_special=False)[0] for letter in "zqabc")
    assert vocab.tokenize("zq", add_special=False) == [z, q]
    asked = options(dry_multiplier=1.0, dry_sequence_breakers=("zq",))
    pieces = {token: vocab.piece(token) for token in range(vocab.n_vocab)}
    whole = [(token,) for token, piece in pieces.items() if b"zq" in piece]
    split = [(token, q) for token, piece in pieces.items() if piece.endswith(b"z")]
    for tokens in (
        [a, b, z, q, c, a, b, z, q, c],
        [a, b, z, q, c, b, a, b, z, q, c, b],
        [a, b, z, c, b, a, a, b, z, c, b],
        [a, b, c, z, q, a, b],
    ):
        check(vocab, asked, usual, History(tokens, breakers=[*whole, *split]))

    asked = options(dry_multiplier=1.0, dry_sequence_breakers=("z",))
    single = [(token,) for token, piece in pieces.items() if b"z" in piece]
    check(vocab, asked, usual, History([a, b, c, z, a, b, c], breakers=single))


def test_top_k_of_equal_logits(vocab):
    """Catches: ties that go to whatever token the algorithm came across first."""
    logits = np.zeros(vocab.n_vocab, np.float32)
    logits[[4000, 2000, 70, 3]] = 1.0
    for k in (1, 3, 4, 6, 100, 4000):
        got = [token for token, _, _ in Sampler(vocab, options(top_k=k)).distribution(logits)]
        ordered = [3, 70, 2000, 4000, *(i for i in range(vocab.n_vocab) if i not in (3, 70, 2000, 4000))]
        assert got == ordered[:k]


def test_xtc_chance(vocab):
    """Catches: a chance that is not the one asked for, and a third outcome between cut and left alone."""
    logits = make_logits(vocab.n_vocab, 4.0)
    given = {"xtc_threshold": 0.05, "top_k": 20}
    whole = reference.distribution(logits, options(top_k=20))
    cut = reference.distribution(logits, options(xtc_probability=1.0, **given))
    assert len(cut) < len(whole) == 20
    n_cut, n = 0, 600
    for seed in range(n):
        got = Sampler(vocab, options(xtc_probability=0.3, **given), seed=seed).distribution(logits)
        assert_same(got, cut if len(got) == len(cut) else whole)
        n_cut += len(got) == len(cut)
    assert abs(n_cut - 0.3 * n) < 4 * math.sqrt(n * 0.3 * 0.7)


@pytest.mark.parametrize("value", [0.0, 3.5, -3.5, 100.0, -100.0, 1000.0, -math.inf])
@pytest.mark.parametrize("given", [{}, {"top_k": 20}, {"top_p": 0.8}, {"repeat_penalty": 1.5}], ids=str)
def test_logit_bias(given, value, vocab, usual):
    """Catches: a bias that comes after the samplers, is applied twice, or touches a neighbour."""
    best = np.argsort(-usual).tolist()
    check(vocab, options(**given), usual, History(best[:5]), bias=[(best[0], value), (best[4000], value)])


@pytest.mark.parametrize("value", [-math.inf, -1000.0, 1000.0])
@pytest.mark.parametrize("given", [g for g in ALONE if "dynatemp_range" not in g or "top_k" in g], ids=str)
def test_extreme_bias_with_each_sampler(given, value, vocab, usual):
    """Catches: a token whose probability is zero in float32 that turns what a sampler computes into NaN."""
    best = np.argsort(-usual).tolist()
    check(vocab, options(**given), usual, bias=[(best[1], value)])


@pytest.mark.parametrize("given", ALL_ON, ids=str)
def test_nothing_after_top_n_sigma_sees_what_it_cut(given, vocab, usual):
    """Catches: tokens that top_n_sigma only marks, and that make NaN or count as candidates afterwards."""
    check(vocab, options(**{given: ALL_ON[given], "top_n_sigma": 1.0}), usual)


def test_ignore_eos(vocab, usual):
    """Catches: an end of text that is still possible, also a second one of the vocabulary."""
    ends = [token for token in range(vocab.n_vocab) if vocab.is_eog(token)]
    assert vocab.eos_token in ends
    usual[ends] = 50.0
    for given in ({}, {"top_k": 10}, {"temperature": 0.0}):
        sampler = Sampler(vocab, options(**given, ignore_eos=True), seed=3)
        possible = {token for token, _, p in sampler.distribution(usual) if p > 0}
        assert possible
        assert not possible & set(ends)
        assert not {sampler.sample(usual) for _ in range(100)} & set(ends)
        assert Sampler(vocab, options(**given), seed=3).sample(usual) in ends


@pytest.mark.parametrize(
    "given", [{}, {"top_k": 1}, {"top_p": 0.0}, {"min_p": 1.0, "typical_p": 0.1}], ids=str
)
def test_greedy(given, vocab, usual):
    """Catches: a temperature of zero that draws, or does not take the first of the best."""
    sampler = Sampler(vocab, options(temperature=0.0, **given), seed=9)
    assert sampler.sample(usual) == int(usual.argmax())
    usual[[4001, 17, 4095]] = 60.0
    assert {sampler.sample(usual) for _ in range(5)} == {17}
    usual[4095] = 61.0
    assert sampler.sample(usual) == 4095


@pytest.mark.parametrize("order", [SAMPLERS, ("dry", "temperature", "penalties")], ids=["usual", "turned"])
def test_greedy_with_penalties(order, vocab, usual, breakers):
    """Catches: a greedy choice from the raw logits."""
    best = np.argsort(-usual)[:5].tolist()
    tokens = [*best[:3], *best[:3], best[0]]
    for extra in ({"repeat_penalty": 1.8}, {"frequency_penalty": 2.0}, {"dry_multiplier": 2.0}):
        given = options(temperature=0.0, samplers=order, **extra)
        sampler = Sampler(vocab, given)
        sampler.accept(tokens)
        loud = options(temperature=1.0, samplers=order, **extra)
        want = reference.distribution(usual, loud, History(tokens, breakers=breakers)).ids[0]
        assert sampler.sample(usual) == want


def test_greedy_keeps_the_order(vocab, usual):
    """Catches: a token that was cut off before the penalties but wins at temperature zero, and only there."""
    best = np.argsort(-usual).tolist()
    given = {"top_k": 1, "presence_penalty": 50.0, "samplers": ("top_k", "penalties", "temperature")}
    for temperature in (0.01, 0.0):
        sampler = Sampler(vocab, options(temperature=temperature, **given))
        sampler.accept([best[0]])
        assert sampler.sample(usual) == best[0]


DRAWN = [
    {},
    {"top_k": 8},
    {"top_k": 300, "temperature": 3.0},
    {"top_p": 0.7},
    {"min_p": 0.2},
    {"typical_p": 0.4, "temperature": 2.0},
    {"xtc_probability": 1.0, "xtc_threshold": 0.05},
    {"top_n_sigma": 2.0, "dynatemp_range": 0.5},
    {"repeat_penalty": 1.2, "top_k": 12},
]


def assert_drawn_from(tokens: list[int], want: reference.Candidates) -> None:
    """Chi-square over the likely tokens and the rest together."""
    counts = Counter(tokens)
    assert counts.keys() <= set(want.ids.tolist())
    expected = want.p * len(tokens)
    n_likely = int((expected >= 10).sum())
    drawn = np.array([counts[token] for token in want.ids[:n_likely].tolist()], float)
    expected, rest = expected[:n_likely], expected[n_likely:].sum()
    if rest >= 10:
        drawn, expected = np.append(drawn, len(tokens) - drawn.sum()), np.append(expected, rest)
    if len(expected) < 2:
        assert drawn.sum() >= 0.99 * len(tokens)
        return
    chi_square = ((drawn - expected) ** 2 / expected).sum()
    assert chi_square < reference.chi_square_limit(len(expected) - 1)


@pytest.mark.parametrize("given", DRAWN, ids=str)
def test_draws_follow_the_distribution(given, vocab, usual):
    """Catches: a draw that is not made with the probabilities that the samplers gave."""
    best = np.argsort(-usual)[:10].tolist()
    history = History(best[::2])
    want = reference.distribution(usual, options(**given), history)
    sampler = Sampler(vocab, options(**given), seed=5)
    sampler.accept_prompt(history.tokens)
    assert_drawn_from([sampler.sample(usual) for _ in range(4000)], want)


def test_first_draws_of_many_seeds(vocab, usual):
    """Catches: seeds that do not reach the generator, or neighbouring seeds that draw alike."""
    given = options(top_k=8)
    draws = [Sampler(vocab, given, seed=seed).sample(usual) for seed in range(2000)]
    assert_drawn_from(draws, reference.distribution(usual, given))


@pytest.mark.parametrize(
    "given",
    [{"temperature": 2.0}, {"top_k": 50}, {"mirostat": 1}, {"mirostat": 2}, {"xtc_probability": 0.5}],
    ids=str,
)
def test_seed(given, vocab, usual):
    """Catches: draws that cannot be repeated, or are the same whatever the seed."""

    def draws(seed: int) -> tuple[int, ...]:
        sampler = Sampler(vocab, options(**given), seed=seed)
        tokens = []
        for _ in range(40):
            tokens.append(sampler.sample(usual))
            sampler.accept(tokens[-1:])
        return tuple(tokens)

    seeds = [0, 1, 2, 42, 2**31, 2**32 - 2]
    assert [draws(seed) for seed in seeds] == [draws(seed) for seed in seeds]
    assert len({draws(seed) for seed in seeds}) == len(seeds)


MIROSTAT = [
    {},
    {"mirostat_tau": 1.0},
    {"mirostat_tau": 3.0, "mirostat_eta": 0.5},
    {"temperature": 0.6},
    {"temperature": 0.6, "top_k": 1, "top_p": 0.1, "min_p": 1.0, "typical_p": 0.1, "tfs_z": 0.1},
    {"repeat_penalty": 1.4, "presence_penalty": 1.0},
    {"dry_multiplier": 2.0, "dry_allowed_length": 1},
]


@pytest.mark.parametrize("given", MIROSTAT, ids=str)
@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_follows_the_algorithm(version, given, vocab, breakers):
    """Catches: a wrong estimate of s or k, a wrong step of mu, and truncating samplers that still run."""
    asked = options(**given, mirostat=version)
    sampler, mirostat = Sampler(vocab, asked, seed=11), reference.Mirostat(asked, 11, vocab.n_vocab)
    tokens: list[int] = []
    for step in range(100):
        logits = make_logits(vocab.n_vocab, 3.0, seed=step % 3)
        want = mirostat.draw(reference.distribution(logits, asked, History(tokens, breakers=breakers)))
        assert sampler.sample(logits) == want, f"step {step}"
        tokens.append(want)
        sampler.accept([want])


@pytest.mark.parametrize("tau", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_reaches_its_target(version, tau, vocab):
    """Catches: a feedback that drives the surprise away from tau."""
    asked = options(mirostat=version, mirostat_tau=tau)
    logits = make_logits(vocab.n_vocab, 2.0)
    sampler, p = Sampler(vocab, asked, seed=4), reference.distribution(logits, asked)
    rank = {token: i for i, token in enumerate(p.ids.tolist())}
    draws = [rank[sampler.sample(logits)] for _ in range(1500)]
    surprise = p.only(slice(max(draws[300:]) + 1)).entropy / math.log(2)
    assert abs(surprise - tau) < 0.9  # the largest k is a little above the usual one


ANY = [
    {},
    {"top_k": 40},
    {"temperature": 0.0},
    {"temperature": 0.0, "dry_multiplier": 1.0, "repeat_penalty": 1.2},
    {"temperature": 0.0, "repeat_penalty": 1.2, "samplers": ("top_k", "penalties")},
    {"repeat_penalty": 1.2, "samplers": ("temperature", "penalties", "top_k"), "top_k": 9},
    {"top_p": 0.9},
    {"min_p": 0.1},
    {"min_p": 0.1, "min_keep": 50},
    {"typical_p": 0.5},
    {"tfs_z": 0.5},
    {"top_n_sigma": 1.0},
    {"xtc_probability": 1.0},
    {"dynatemp_range": 0.5},
    {"mirostat": 1},
    {"mirostat": 2},
    ALL_ON,
]


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("given", ANY, ids=str)
def test_unusable_logits(given, bad, vocab):
    """Catches: NaN and minus infinity that crash a sampler, are chosen, or change what is chosen from."""
    n = vocab.n_vocab
    random = np.random.default_rng(6)
    patterns = [
        [0],
        [n - 1],
        range(0, n, 2),
        range(1, n),
        range(n - 1),
        range(100, n),
        *(np.flatnonzero(random.random(n) < share) for share in (0.01, 0.5, 0.99)),
    ]
    for seed, pattern in enumerate(patterns):
        logits = make_logits(n, 3.0, seed)
        logits[list(pattern)] = bad
        usable = set(np.flatnonzero(np.isfinite(logits)).tolist())
        sampler = Sampler(vocab, options(**given), seed=seed)
        sampler.accept([300, 301, 300, 301, 0, n - 1])
        assert {token for token, _, p in sampler.distribution(logits) if p > 0} <= usable
        assert {sampler.sample(logits) for _ in range(10)} <= usable
        if not given.get("mirostat"):
            plain = Sampler(vocab, options(**given), seed=seed).distribution(logits)
            if given.get("temperature") != 0.0:
                assert_same(plain, reference.distribution(logits, options(**given)))


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
@pytest.mark.parametrize("given", ANY, ids=str)
def test_no_usable_logit(given, bad, vocab):
    """Catches: a model that computed nothing but NaN and still appears to answer."""
    logits = np.full(vocab.n_vocab, bad, np.float32)
    with pytest.raises(EngineError):
        Sampler(vocab, options(**given)).sample(logits)


@pytest.mark.parametrize("given", ANY, ids=str)
def test_logits_are_not_changed(given, vocab, usual):
    """Catches: a bias or penalty that stays in the row and counts again in the log-probabilities."""
    usual[[7, 8]] = -0.0, math.nan
    before = usual.tobytes()
    bias = [(300, 2.0), (301, -math.inf), (300, 1.0), (7, -1.0), (8, 1.0)]
    sampler = Sampler(vocab, options(**{"repeat_penalty": 1.3, **given}, ignore_eos=True), logit_bias=bias)
    sampler.accept([300, 301, 302, 300, 7, 8])
    for call in (sampler.sample, sampler.distribution):
        call(usual)
        assert usual.tobytes() == before
    constrained = Sampler(vocab, options(**given), logit_bias=bias, grammar='root ::= "yes"')
    constrained.sample(usual)
    assert usual.tobytes() == before


def test_logits_are_not_changed_by_an_error(vocab):
    """Catches: a row that keeps the bias when there was nothing to choose."""
    logits = np.full(vocab.n_vocab, -math.inf, np.float32)
    logits[300] = 1.0
    before = logits.tobytes()
    for grammar in ("", 'root ::= "yes"'):
        with pytest.raises((EngineError, GrammarError)):
            Sampler(vocab, options(top_k=5), logit_bias=[(300, -math.inf)], grammar=grammar).sample(logits)
        assert logits.tobytes() == before


def test_wrong_row(vocab, usual):
    """Catches: reading behind the end of the caller's array."""
    sampler = Sampler(vocab, options())
    for row in (usual[:-1].copy(), np.append(usual, np.float32(0)), usual[:0].copy()):
        for call in (sampler.sample, sampler.distribution):
            with pytest.raises(InvalidRequest):
                call(row)
    with pytest.raises(ValueError, match="mismatch"):
        sampler.sample(usual.astype(np.float64))


APART = """
import resource, sys
import numpy as np
from pyollama import native
from pyollama.engine.options import SamplingOptions
from pyollama.errors import EngineError, GrammarError, InvalidRequest
from pyollama.native import backend
from pyollama.native.model import Model
from pyollama.native.sampler import Sampler

backend.init(str(native.LIBRARY_DIR))
model = Model(sys.argv[1], vocab_only=True)
zeros = np.zeros(model.n_vocab, np.float32)
"""


def apart(code: str, *arguments: object, timeout: float = 60) -> str:
    """The output of a process of its own, for what may crash it or never end. argv[1] is the model."""
    command = [sys.executable, "-P", "-c", APART + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-500:]}"
    return done.stdout.strip()


def test_distribution_of_nothing(model_path):
    """Catches: the assertion in llama.cpp that ends the process when there is no candidate."""
    code = """
for bad in (np.nan, -np.inf):
    for given in ({}, {"top_k": 0}, {"typical_p": 0.5}, {"mirostat": 2}, {"temperature": 0.0}):
        try:
            print(Sampler(model, SamplingOptions(**given)).distribution(zeros + np.float32(bad)))
        except EngineError:
            print([])
"""
    assert apart(code, model_path).split() == ["[]"] * 10


@pytest.mark.parametrize("token", ["outside", 2**31 - 1, -1])
@pytest.mark.parametrize("what", ["bias", "accept", "accept_prompt"])
def test_token_outside_the_vocabulary(what, token, model_path, vocab):
    """Catches: a token id that makes the sampler write outside the row of logits."""
    code = """
what, token = sys.argv[2], int(sys.argv[3])
try:
    sampler = Sampler(model, SamplingOptions(repeat_penalty=1.5), logit_bias=[(token, 1.0)] * (what == "bias"))
    if what != "bias":
        getattr(sampler, what)([token])
    sampler.sample(zeros)
except InvalidRequest:
    print("refused")
"""
    assert apart(code, model_path, what, vocab.n_vocab if token == "outside" else token) == "refused"


# ------------------------------------------------------------------------------------------------ grammar


WORDS = ("yes", "no", "not at all", "naïve", "漢字")
WORDS_GRAMMAR = "root ::= " + " | ".join(f'"{word}"' for word in WORDS)


def allowed(vocab, so_far: bytes) -> set[int]:
    """The tokens that lead to one of WORDS, worked out from the pieces."""
    rests = [word.encode()[len(so_far) :] for word in WORDS if word.encode().startswith(so_far)]
    tokens = set()
    for token in range(vocab.n_vocab):
        if vocab.is_eog(token):
            if b"" in rests:
                tokens.add(token)
        elif (piece := vocab.piece(token)) and any(rest.startswith(piece) for rest in rests):
            tokens.add(token)
    return tokens


def write(vocab, sampler: Sampler, logits: np.ndarray) -> bytes:
    """What comes out until the end, with the logits the same all the time."""
    text = b""
    for _ in range(40):
        token = sampler.sample(logits)
        if vocab.is_eog(token):
            return text
        sampler.accept([token])
        text += vocab.piece(token)
    raise AssertionError(f"no end after {text!r}")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"top_k": 1},
        {"top_k": 40, "top_p": 0.5},
        {"temperature": 0.0},
        {"mirostat": 1},
        {"mirostat": 2},
        ALL_ON,
    ],
    ids=str,
)
def test_grammar(given, vocab):
    """Catches: a text outside the grammar, one that stops early, and a sampler that removed all that is allowed."""
    seen = set()
    for seed in range(60):
        logits = make_logits(vocab.n_vocab, 4.0, seed)
        text = write(vocab, Sampler(vocab, options(**given), seed=seed, grammar=WORDS_GRAMMAR), logits)
        assert text.decode() in WORDS
        seen.add(text.decode())
    assert seen == set(WORDS)


def test_grammar_allows_every_token_that_fits(vocab):
    """Catches: a grammar that is stricter than it says, such as one without the half characters of a vocabulary."""
    flat = np.zeros(vocab.n_vocab, np.float32)
    for so_far in (b"", b"no", b"na", b"not", "漢".encode(), b"yes"):
        want = allowed(vocab, so_far)
        got = set()
        for seed in range(300):
            sampler = Sampler(vocab, options(), seed=seed, grammar=WORDS_GRAMMAR)
            sampler.accept(vocab.tokenize(so_far.decode(), add_special=False))
            got.add(sampler.sample(flat))
        assert got == want


def test_grammar_leaves_good_choices_alone(vocab, usual):
    """Catches: a constraint that changes the choice of a model that follows the grammar by itself."""
    anything = "root ::= [^\\x00]*"
    free, bound = (Sampler(vocab, options(top_k=20), seed=8, grammar=text) for text in ("", anything))
    usual[[token for token in range(vocab.n_vocab) if vocab.is_eog(token)]] = -math.inf
    plain = [token for token in range(vocab.n_vocab) if vocab.piece(token).isascii() and vocab.piece(token)]
    usual[sorted(set(range(vocab.n_vocab)) - set(plain))] = -math.inf
    usual[:10] = -math.inf  # control tokens
    for _ in range(50):
        token = bound.sample(usual)
        assert token == free.sample(usual)
        for sampler in (free, bound):
            sampler.accept([token])


def test_grammar_with_no_way_on(vocab, usual):
    """Catches: a dead end that gives some token rather than an error."""
    never = [(token, -math.inf) for token in range(vocab.n_vocab) if vocab.piece(token).startswith(b"y")]
    sampler = Sampler(vocab, options(), logit_bias=never, grammar='root ::= "yes"')
    with pytest.raises(GrammarError):
        sampler.sample(usual)


def test_a_complete_grammar_ends_the_text(vocab, usual):
    """Catches: ignore_eos that turns a finished answer into an error."""
    sampler = Sampler(vocab, options(ignore_eos=True), grammar='root ::= "yes"')
    sampler.accept(vocab.tokenize("yes", add_special=False))
    assert vocab.is_eog(sampler.sample(usual))


def test_grammar_refuses_what_it_did_not_allow(vocab):
    """Catches: an accepted token that silently leaves the grammar without a state."""
    sampler = Sampler(vocab, options(), grammar='root ::= "yes"')
    with pytest.raises(GrammarError):
        sampler.accept(vocab.tokenize("no", add_special=False))


@pytest.mark.parametrize(
    "text",
    [
        "root ::= [",
        'root ::= "a',
        "root ::= missing",
        'other ::= "a"',
        "root ::= root",
        'root ::= root "a"',
        'root ::= a\na ::= b\nb ::= a "x"',
        "no grammar at all",
        'root ::= "a"{100000000}',
        "root ::= (",
        "root ::= [a-",
        'root ::= "\\x"',
        "root ::= *",
        "::=",
        "\x01",
        "   ",
    ],
)
def test_invalid_grammar(text, vocab):
    """Catches: a bad grammar that crashes, or is taken for no constraint at all."""
    with pytest.raises(GrammarError, match="grammar"):
        Sampler(vocab, options(), grammar=text)


@pytest.mark.parametrize(("text", "why"), [('root ::= "a" missing', "missing"), ("root ::= (", "expecting")])
def test_grammar_error_says_why(text, why, vocab, capfd):
    """Catches: a parser whose words go to the standard error output rather than to the caller."""
    with pytest.raises(GrammarError, match=why):
        Sampler(vocab, options(), grammar=text)
    assert capfd.readouterr().err == ""


def test_empty_grammar_rule(vocab, usual):
    """Catches: a grammar of the empty text that lets something through."""
    assert write(vocab, Sampler(vocab, options(), grammar="root ::= "), usual) == b""


HOSTILE = {
    "nested groups": 'root ::= "(" ' + "(" * 100_000 + '"a"' + ")" * 100_000,
    "groups without end": "root ::= " + "(" * 250_000,
    "repetition from more to less": 'root ::= "a"{3,1}',
    "nested repetition": 'root ::= (((("a"?){50}){50}){50}){50}',
    "ambiguous": 'root ::= x x x x x x x x\nx ::= y y y y y y y y | ""\ny ::= z z z z z z z z | ""\nz ::= "a" | ""',
    "many alternatives": "root ::= " + " | ".join('"a"' for _ in range(10_000)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_grammar(name, model_path, tmp_path):
    """Catches: a grammar of a request that overflows the stack, eats the memory or never ends."""
    code = """
resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
grammar = open(sys.argv[2], encoding="utf-8").read()
def peak():
    # In KiB. Not getrusage: what it says begins with the size of the process that started this one.
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
before = peak()
try:
    sampler = Sampler(model, SamplingOptions(), grammar=grammar)
    for _ in range(6):
        token = sampler.sample(zeros)
        if model.is_eog(token):
            break
        sampler.accept([token])
except GrammarError:
    pass
kib = peak() - before
print("well" if kib < 2**19 else f"took {kib} KiB")
"""
    path = tmp_path / "grammar.gbnf"
    path.write_text(HOSTILE[name], encoding="utf-8")
    assert apart(code, model_path, path, timeout=10) == "well"
