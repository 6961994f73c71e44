"""Log-probabilities: the natural logarithm of the softmax of the raw logits."""

from __future__ import annotations

import math

import pytest

from pyollama.engine.options import LoadOptions, SamplingOptions

PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
N_PREDICT = 6
GREEDY = SamplingOptions(temperature=0.0)


@pytest.fixture(scope="module")
def model(backend, model_path):
    from pyollama.native.model import Model

    return Model(model_path)


@pytest.fixture(scope="module")
def run(model):
    """Runs a request and returns its tokens and their log-probabilities."""
    from pyollama.native.engine import Channel, Engine

    engine = Engine(model, LoadOptions(), n_ctx=256, n_parallel=1, n_threads=1)

    def generate(options: SamplingOptions, n_logprobs: int, **given) -> tuple[list[int], list]:
        channel = Channel()
        prompt = model.tokenize(PROMPT)
        engine.submit(
            prompt,
            options,
            channel,
            seed=3,
            n_predict=N_PREDICT,
            n_logprobs=n_logprobs,
            cache_prompt=False,
            **given,
        )
        tokens, logprobs, finish = [], [], None
        while finish is None:
            for event in channel.collect(10.0):
                assert event.finish != "error", event.error
                tokens += event.tokens
                logprobs += event.logprobs or []
                finish = event.finish
        return tokens, logprobs

    yield generate
    engine.close()


def test_the_best(model, run):
    """Catches: a wrong number or order of alternatives, bytes of another token, a base other than e."""
    tokens, logprobs = run(GREEDY, 5)
    assert len(logprobs) == len(tokens) > 0
    for token, (chosen, top) in zip(tokens, logprobs, strict=True):
        assert chosen[0] == token
        assert top[0] == chosen  # greedy takes the best
        assert len(top) == len({entry[0] for entry in top}) == 5
        values = [value for _, value, _ in top]
        assert values == sorted(values, reverse=True)
        assert values[0] <= 0
        assert sum(map(math.exp, values)) <= 1 + 1e-6
        assert [model.piece(entry[0]) for entry in top] == [entry[2] for entry in top]


def test_all_of_them(model, run):
    """Catches: a normalization over something other than the vocabulary."""
    five, everything = run(GREEDY, 5), run(GREEDY, model.n_vocab)
    assert five[0] == everything[0]
    for (_, few), (_, top) in zip(five[1], everything[1], strict=True):
        assert sorted(entry[0] for entry in top) == list(range(model.n_vocab))
        assert math.fsum(math.exp(value) for _, value, _ in top) == pytest.approx(1.0, abs=1e-4)
        assert [entry[0] for entry in few] == [entry[0] for entry in top[:5]]
        assert [entry[1] for entry in few] == pytest.approx([entry[1] for entry in top[:5]], abs=1e-4)


def test_more_than_there_are(model, run):
    """Catches: a count that reads behind the vocabulary."""
    _, logprobs = run(GREEDY, 2**31 - 1)
    assert all(len(top) == model.n_vocab for _, top in logprobs)


def test_without_alternatives(run):
    """Catches: zero that means none at all, and log-probabilities that nobody asked for."""
    tokens, logprobs = run(GREEDY, 0)
    assert [top for _, top in logprobs] == [[] for _ in tokens]
    assert [chosen[0] for chosen, _ in logprobs] == tokens
    assert run(GREEDY, -1)[1] == []


def test_independent_of_the_samplers(run):
    """Catches: log-probabilities after temperature, penalties, a bias or the grammar rather than of the model."""
    _, plain = run(GREEDY, 5)
    wild = SamplingOptions(temperature=5.0, top_k=0, top_p=1.0, repeat_penalty=2.0, min_p=0.01)
    best = plain[0][1][0][0]
    for options, given in (
        (wild, {}),
        (GREEDY, {"logit_bias": [(best, -math.inf)]}),
        (GREEDY, {"grammar": 'root ::= "zebra"'}),
    ):
        _, logprobs = run(options, 5, **given)
        chosen, top = logprobs[0]
        assert [entry[0] for entry in top] == [entry[0] for entry in plain[0][1]]
        assert [entry[1] for entry in top] == pytest.approx([entry[1] for entry in plain[0][1]], abs=1e-4)
        assert chosen[1] <= top[0][1]
        if options is GREEDY:
            assert chosen[0] != best
