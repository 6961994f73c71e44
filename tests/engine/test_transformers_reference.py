"""The engine computes what transformers computes with the same weights, on every path of a request.

The models are small, random and in 32-bit floats, converted by llama.cpp's own script, and the engine's cache
is in 32-bit floats too. So the two sides differ by rounding only, and a tolerance far below any real mistake
holds.
"""

from __future__ import annotations

import random
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pyollama.engine import LoadOptions, Model, SamplingOptions
from pyollama.errors import ContextLengthExceeded, InvalidRequest
from pyollama.native.engine import Channel, Embedder
from pyollama.native.engine import Engine as NativeEngine

if TYPE_CHECKING:
    from .reference_models import ReferenceModel, ReferenceModels

LLAMA_CPP = Path(__file__).parents[2] / "vendor" / "llama.cpp"


@dataclass(frozen=True)
class Precision:
    """How far an answer may be from the reference; log-probabilities go down to about -12 here."""

    most: float
    """Most difference of a log-probability, in absolute terms."""
    mean: float
    """Mean difference of all log-probabilities."""
    tie: float
    """Two logits closer than this may swap their places: a choice between them is nobody's mistake."""
    ties: float
    """Most such choices, as a share of all tokens."""


EXACT = Precision(most=2e-4, mean=2e-5, tie=1e-4, ties=0.01)
"""32-bit floats all the way."""
HALF = Precision(most=0.25, mean=0.02, tie=0.1, ties=0.05)
"""16-bit floats in attention. On the CPU, llama.cpp's flash attention turns keys, values and sums into these,
whatever the cache holds. In these models, whose attention is sharp, that is worth up to a tenth; cells of
another model or another position are worth 4."""
PRECISIONS = {False: EXACT, True: HALF, "auto": HALF}

GREEDY = SamplingOptions(temperature=0, ignore_eos=True)
EOS = 2
N_PREDICT = 40
N_THREADS = 1  # a second one costs more than it gives where cores are few and models tiny


@dataclass
class Answer:
    """What the engine gave for one request."""

    tokens: list[int] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    """For each token the log-probabilities of the whole vocabulary before it."""
    finish: str | None = None
    error: str = ""
    stats: dict[str, int] = field(default_factory=dict)


@dataclass
class Comparison:
    """How far an answer is from the reference."""

    most: float
    """Most difference of a log-probability."""
    mean: float
    """Mean difference."""
    gaps: list[float]
    """How far the tokens that are not the reference's best one are behind it."""
    n_tokens: int

    def check(self, precision: Precision = EXACT) -> None:
        """Assert that it is near enough."""
        assert self.most < precision.most, self
        assert self.mean < precision.mean, self
        assert max(self.gaps, default=0.0) < precision.tie, self
        assert len(self.gaps) <= self.n_tokens * precision.ties, self


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReferenceModels]:
    """All models, made once."""
    if not (LLAMA_CPP / "convert_hf_to_gguf.py").is_file():
        pytest.skip("the vendored llama.cpp tree has no converter here")
    for package in ("torch", "transformers", "sentencepiece", "safetensors", "gguf"):
        pytest.importorskip(package, reason=f"the reference needs the package {package}")
    from . import reference_models

    with reference_models.one_thread():
        yield reference_models.build(tmp_path_factory.mktemp("reference"))


class Engine(NativeEngine):
    """Saves and restores under the identity of its model, as `pyollama.engine.Engine` does."""

    identity = 0

    def save_state(self, tokens: list[int]) -> bytes:
        return super().save_state(tokens, self.identity)

    def restore_state(self, state: bytes) -> int:
        return super().restore_state(state, self.identity)


@pytest.fixture(scope="session")
def load() -> Callable[..., Model]:
    """Loads a file on the CPU, each file and each set of adapters once."""
    models: dict[Any, Model] = {}

    def load(path: Path, adapters: tuple[tuple[str, float], ...] = ()) -> Model:
        if (path, adapters) not in models:
            models[path, adapters] = Model(path, adapters=adapters, options=LoadOptions(num_gpu=0))
        return models[path, adapters]

    return load


@pytest.fixture
def start(load: Callable[..., Model]) -> Iterator[Callable[..., Engine]]:
    """Starts engines and closes them after the test."""
    engines: list[Engine] = []

    def start(
        model: ReferenceModel | Model,
        *,
        n_ctx: int = 512,
        n_parallel: int = 1,
        n_threads: int = N_THREADS,
        **options: Any,
    ) -> Engine:
        given = {"kv_cache_type": "f32", "flash_attention": False, **options}
        loaded = model if isinstance(model, Model) else load(model.gguf)
        engine = Engine(
            loaded.native, LoadOptions(**given), n_ctx=n_ctx, n_parallel=n_parallel, n_threads=n_threads
        )
        engine.identity = loaded.identity
        engines.append(engine)
        return engine

    yield start
    for engine in engines:
        engine.close()


def ask(engine: Engine, prompts: list[list[int]], n_vocab: int, **arguments: Any) -> list[Answer]:
    """Submit all prompts at once and wait for all answers."""
    channel = Channel()
    arguments = {"n_predict": N_PREDICT, "n_logprobs": n_vocab, "seed": 1, **arguments}
    ids = [engine.submit(prompt, GREEDY, channel, **arguments) for prompt in prompts]
    answers = {request_id: Answer() for request_id in ids}
    deadline = time.monotonic() + 60
    while any(answer.finish is None for answer in answers.values()):
        assert time.monotonic() < deadline, f"no end of the answers: {engine.status()}"
        for event in channel.collect(1.0):
            answer = answers[event.request_id]
            answer.tokens += event.tokens
            answer.rows += [_row(top, n_vocab) for _, top in event.logprobs or ()]
            if event.finish is not None:
                answer.finish, answer.error, answer.stats = event.finish, event.error, event.stats
    for answer in answers.values():
        assert answer.finish != "error", answer.error
    return [answers[request_id] for request_id in ids]


def _row(top: list[tuple[int, float, bytes]], n_vocab: int) -> np.ndarray:
    row = np.full(n_vocab, np.nan, dtype=np.float32)
    row[[token for token, _, _ in top]] = [logprob for _, logprob, _ in top]
    assert not np.isnan(row).any(), "a token is missing among the log-probabilities"
    return row


def compare_rows(rows: np.ndarray, answer: Answer) -> Comparison:
    """Hold an answer against the log-probabilities that are right for it.

    If every token is the best one after those before it, the whole answer is what greedy generation gives.
    """
    assert len(answer.rows) == len(answer.tokens) == len(rows)
    gaps = []
    for token, row in zip(answer.tokens, rows, strict=True):
        allowed = row.copy()
        allowed[EOS] = -np.inf
        if token != int(allowed.argmax()):
            gaps.append(float(allowed.max() - row[token]))
    difference = np.abs(np.stack(answer.rows) - rows)
    return Comparison(float(difference.max()), float(difference.mean()), gaps, len(answer.tokens))


def compare(model: ReferenceModel, prompts: list[list[int]], answers: list[Answer]) -> Comparison:
    """Hold answers against the rows that torch computes for each prompt and its answer in one piece."""
    found = []
    for prompt, answer in zip(prompts, answers, strict=True):
        rows = model.log_probs(prompt + answer.tokens)[len(prompt) - 1 : -1]
        found.append(compare_rows(rows, answer))
    return Comparison(
        max(one.most for one in found),
        max(one.mean for one in found),
        [gap for one in found for gap in one.gaps],
        sum(one.n_tokens for one in found),
    )


def random_prompt(length: int, seed: int, n_vocab: int = 512) -> list[int]:
    """A prompt of ordinary tokens; the first 259 of the tokenizer are control and byte tokens."""
    return random.Random(seed).choices(range(259, n_vocab), k=length)


PROMPTS = [random_prompt(length, seed=length) for length in (1, 7, 40, 300)]


@pytest.fixture(params=["llama", "qwen2"])
def decoder(request: pytest.FixtureRequest, reference: ReferenceModels) -> ReferenceModel:
    """Each model that generates: llama has permuted query weights, qwen2 biases and shared embeddings."""
    return getattr(reference, request.param)


def test_the_reference_is_not_degenerate(decoder: ReferenceModel) -> None:
    """Would catch: random models whose answers are one repeated token, which any engine gets right."""
    for prompt in PROMPTS:
        assert len(set(decoder.greedy(prompt, N_PREDICT))) > 10


def test_greedy_answers_are_those_of_generate(decoder: ReferenceModel, start: Callable[..., Engine]) -> None:
    """Would catch: a wrong token anywhere, off by one in positions, a lost first or last token."""
    engine = start(decoder)
    for prompt in PROMPTS:
        (answer,) = ask(engine, [prompt], decoder.n_vocab)
        expected = decoder.greedy(prompt, N_PREDICT)
        if not compare(decoder, [prompt], [answer]).gaps:
            assert answer.tokens == expected
        assert answer.finish == "length"
        assert answer.stats["n_prompt"] == len(prompt)
        assert answer.stats["n_generated"] == N_PREDICT


@pytest.mark.parametrize("flash_attention", [False, "auto", True])
def test_log_probabilities_one_by_one(
    decoder: ReferenceModel, start: Callable[..., Engine], flash_attention: bool | str
) -> None:
    """Would catch: logits of a wrong row, a changed row, a wrong normalization, a broken attention path."""
    engine = start(decoder, flash_attention=flash_attention)
    answers = [ask(engine, [prompt], decoder.n_vocab)[0] for prompt in PROMPTS]
    compare(decoder, PROMPTS, answers).check(PRECISIONS[flash_attention])


def test_two_threads(reference: ReferenceModels, start: Callable[..., Engine]) -> None:
    """Would catch: threads that do not wait for each other, or a part of the work that nobody does."""
    engine = start(reference.llama, n_parallel=2, n_threads=2)
    # short, because threads that wait busily for each other are slow where other work takes the cores
    prompts = PROMPTS[1:3]
    answers = ask(engine, prompts, reference.llama.n_vocab, n_predict=3)
    compare(reference.llama, prompts, answers).check()


@pytest.mark.parametrize("num_batch", [1, 3, 64])
def test_prompts_in_pieces(decoder: ReferenceModel, start: Callable[..., Engine], num_batch: int) -> None:
    """Would catch: a wrong position or a wrong row of logits where a prompt is cut into micro-batches."""
    engine = start(decoder, num_batch=num_batch)
    prompts = PROMPTS[1:] if num_batch > 1 else PROMPTS[1:3]
    compare(
        decoder, prompts, [ask(engine, [one], decoder.n_vocab, n_predict=8)[0] for one in prompts]
    ).check()
    limited = start(decoder)
    answers = ask(limited, prompts, decoder.n_vocab, n_predict=8, n_batch=num_batch)
    compare(decoder, prompts, answers).check()


@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_many_requests_at_once(
    decoder: ReferenceModel, start: Callable[..., Engine], flash_attention: bool | str
) -> None:
    """Would catch: sequences that see each other's cells, logits handed to the wrong request, stale cells."""
    engine = start(decoder, n_parallel=4, flash_attention=flash_attention)
    lengths = (1, 300, 7, 40, 2, 5, 123, 64, 33, 17, 3, 200)
    prompts = [random_prompt(length, seed=1000 + length) for length in lengths]
    answers = ask(engine, prompts, decoder.n_vocab)
    compare(decoder, prompts, answers).check(PRECISIONS[flash_attention])
    assert engine.status()["n_running"] == 0


@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_the_default_cache(
    decoder: ReferenceModel, start: Callable[..., Engine], flash_attention: bool | str
) -> None:
    """Would catch: a 16-bit cache that is wrong, not only less exact."""
    engine = start(decoder, n_parallel=2, kv_cache_type="f16", flash_attention=flash_attention)
    compare(decoder, PROMPTS, ask(engine, PROMPTS, decoder.n_vocab)).check(HALF)


@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_second_turn_reuses_cells(
    decoder: ReferenceModel, start: Callable[..., Engine], flash_attention: bool | str
) -> None:
    """Would catch: reused cells of other tokens, an answer's last token taken for a cached one."""
    engine = start(decoder, flash_attention=flash_attention)
    first = random_prompt(50, seed=1)
    (answer,) = ask(engine, [first], decoder.n_vocab)
    assert answer.stats["n_cached"] == 0

    second = first + answer.tokens + random_prompt(20, seed=2)
    (again,) = ask(engine, [second], decoder.n_vocab)
    # the last token of an answer is chosen, but never computed
    assert again.stats["n_cached"] == len(first) + N_PREDICT - 1
    compare(decoder, [second], [again]).check(PRECISIONS[flash_attention])

    edited = second[:60] + random_prompt(10, seed=3)
    (third,) = ask(engine, [edited], decoder.n_vocab)
    assert third.stats["n_cached"] == 60
    compare(decoder, [edited], [third]).check(PRECISIONS[flash_attention])

    (same,) = ask(engine, [edited], decoder.n_vocab)
    assert same.stats["n_cached"] == len(edited) - 1  # the last one is computed again, for its logits
    compare(decoder, [edited], [same]).check(PRECISIONS[flash_attention])

    (fresh,) = ask(engine, [edited], decoder.n_vocab, cache_prompt=False)
    assert fresh.stats["n_cached"] == 0
    compare(decoder, [edited], [fresh]).check(PRECISIONS[flash_attention])


def test_cells_survive_neighbours(decoder: ReferenceModel, start: Callable[..., Engine]) -> None:
    """Would catch: cells that another sequence overwrites while a conversation waits for its next turn."""
    engine = start(decoder, n_parallel=4)
    first = [random_prompt(40 + i, seed=50 + i) for i in range(3)]
    answers = ask(engine, first, decoder.n_vocab, n_predict=10)
    compare(decoder, first, answers).check()
    ask(engine, [random_prompt(100, seed=99)], decoder.n_vocab)
    second = [
        prompt + answer.tokens + random_prompt(5, seed=70)
        for prompt, answer in zip(first, answers, strict=True)
    ]
    more = ask(engine, second, decoder.n_vocab, n_predict=10)
    assert [answer.stats["n_cached"] for answer in more] == [len(prompt) + 9 for prompt in first]
    compare(decoder, second, more).check()


@pytest.fixture
def saved(reference: ReferenceModels, start: Callable[..., Engine]) -> tuple[bytes, list[int]]:
    """A state of llama, and its tokens."""
    engine = start(reference.llama)
    prompt = random_prompt(30, seed=4)
    (answer,) = ask(engine, [prompt], reference.llama.n_vocab, n_predict=10)
    tokens = prompt + answer.tokens
    return engine.save_state(tokens), tokens


@pytest.mark.parametrize("flash_attention", [False, "auto"])
@pytest.mark.parametrize("n_parallel", [1, 4])
def test_restored_state_continues(
    reference: ReferenceModels, start: Callable[..., Engine], n_parallel: int, flash_attention: bool | str
) -> None:
    """Would catch: a state that comes back at wrong positions, in part, or into a sequence that is in use."""
    model = reference.llama
    options = {"n_parallel": n_parallel, "flash_attention": flash_attention}
    engine = start(model, **options)
    prompts = [random_prompt(30 + i, seed=60 + i) for i in range(n_parallel)]
    answers = ask(engine, prompts, model.n_vocab, n_predict=10)
    tokens = prompts[-1] + answers[-1].tokens
    state = engine.save_state([*tokens, 300, 301])

    engine = start(model, **options)
    other = random_prompt(12, seed=6)
    before = ask(engine, [other] * n_parallel, model.n_vocab)
    assert engine.restore_state(state) == len(tokens) - 1
    prompt = tokens + random_prompt(3, seed=5)
    (answer,) = ask(engine, [prompt], model.n_vocab)
    assert answer.stats["n_cached"] == len(tokens) - 1
    compare(model, [other] * n_parallel + [prompt], [*before, answer]).check(PRECISIONS[flash_attention])


def test_restored_state_is_the_saved_one(
    reference: ReferenceModels, start: Callable[..., Engine], saved: tuple[bytes, list[int]]
) -> None:
    """Would catch: a state that changes when it is restored and saved again."""
    state, tokens = saved
    engine = start(reference.llama)
    engine.restore_state(state)
    assert engine.save_state(tokens) == state


def test_damaged_states_are_refused(
    reference: ReferenceModels, start: Callable[..., Engine], saved: tuple[bytes, list[int]]
) -> None:
    """Would catch: damaged bytes in the hands of llama.cpp, which trusts them; a broken engine afterwards."""
    state, tokens = saved
    engine = start(reference.llama)
    header = struct.calcsize("<8s5Q")
    places = [*range(header), *range(header, len(state), len(state) // 50), len(state) - 1]
    damaged = [state[:at] + bytes([state[at] ^ 0x40]) + state[at + 1 :] for at in places]
    cut = [state[:length] for length in (0, 1, 8, header - 1, header, header + 4, len(state) - 1)]
    halves = state[: len(state) // 2] * 2
    for broken in [*damaged, *cut, state + b"\0", b"no state" * 100, halves, bytes(len(state))]:
        with pytest.raises(InvalidRequest):
            engine.restore_state(broken)
    prompt = [*tokens, 300]
    (answer,) = ask(engine, [prompt], reference.llama.n_vocab, n_predict=5)
    assert answer.stats["n_cached"] == 0
    compare(reference.llama, [prompt], [answer]).check()


def test_states_of_other_models_are_refused(
    reference: ReferenceModels,
    load: Callable[..., Model],
    start: Callable[..., Engine],
    saved: tuple[bytes, list[int]],
) -> None:
    """Would catch: cells of one model, or of one without its adapter, that another takes for its own."""
    state, _ = saved
    adapted = load(reference.llama.gguf, ((str(reference.lora.gguf), 1.0),))
    for other in (reference.qwen2, adapted):
        with pytest.raises(InvalidRequest):
            start(other).restore_state(state)


def test_states_of_other_weights_are_refused(
    reference: ReferenceModels,
    load: Callable[..., Model],
    start: Callable[..., Engine],
    saved: tuple[bytes, list[int]],
    tmp_path: Path,
) -> None:
    """Would catch: a fine-tuned model with the same metadata that goes on with the cells of its base."""
    from .reference_models import negate_a_tensor

    state, _ = saved
    tuned = tmp_path / "tuned.gguf"
    shutil.copyfile(reference.llama.gguf, tuned)
    negate_a_tensor(tuned, "blk.1.attn_v.weight")
    with pytest.raises(InvalidRequest):
        start(load(tuned)).restore_state(state)


@pytest.mark.parametrize(
    "options",
    [
        {"kv_cache_type": "f16"},
        {"flash_attention": True},
        {"rope_frequency_base": 500_000.0},
        {"rope_frequency_scale": 0.5},
        {"n_parallel": 2},
    ],
    ids=lambda options: next(iter(options)),
)
def test_states_of_other_settings_are_refused(
    reference: ReferenceModels,
    start: Callable[..., Engine],
    saved: tuple[bytes, list[int]],
    options: dict[str, Any],
) -> None:
    """Would catch: keys of another type or turned by other angles that are taken for this engine's own.

    The refusal says why, and costs nobody the cells of a conversation.
    """
    engine = start(reference.llama, **options)
    for seed in range(2):
        ask(engine, [random_prompt(9, seed=seed)], reference.llama.n_vocab, n_predict=1)
    n_cells = engine.status()["n_cells"]
    with pytest.raises(InvalidRequest, match="settings"):
        engine.restore_state(saved[0])
    (answer,) = ask(engine, [random_prompt(9, seed=1)], reference.llama.n_vocab, n_predict=1)
    assert answer.stats["n_cached"] == 8
    assert engine.status()["n_cells"] == n_cells


def test_a_state_too_long_is_refused(
    reference: ReferenceModels, start: Callable[..., Engine], saved: tuple[bytes, list[int]]
) -> None:
    """Would catch: a state that is written past the cells of a sequence."""
    with pytest.raises(InvalidRequest):
        start(reference.llama, n_ctx=32).restore_state(saved[0])


def test_saving_unknown_tokens_is_refused(reference: ReferenceModels, start: Callable[..., Engine]) -> None:
    """Would catch: an empty state that is handed out as if it were one."""
    with pytest.raises(InvalidRequest):
        start(reference.llama).save_state(random_prompt(5, seed=8))


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_lora_equals_merged_weights(
    reference: ReferenceModels, load: Callable[..., Model], start: Callable[..., Engine], scale: float
) -> None:
    """Would catch: an adapter that is not applied, applied twice, or without its alpha, rank or scale."""
    merged = reference.llama.with_lora(reference.lora, scale)
    engine = start(load(reference.llama.gguf, ((str(reference.lora.gguf), scale),)), n_parallel=2)
    answers = ask(engine, PROMPTS, merged.n_vocab)
    compare(merged, PROMPTS, answers).check()
    if scale > 0:
        assert answers[2].tokens != reference.llama.greedy(PROMPTS[2], N_PREDICT)


def test_two_loras_add_up(
    reference: ReferenceModels, load: Callable[..., Model], start: Callable[..., Engine]
) -> None:
    """Would catch: a list of adapters of which only one counts, or scales that go to the wrong one."""
    merged = reference.llama.with_lora(reference.lora, 0.75)
    path = str(reference.lora.gguf)
    engine = start(load(reference.llama.gguf, ((path, 0.5), (path, 0.25))))
    compare(merged, PROMPTS[1:2], ask(engine, PROMPTS[1:2], merged.n_vocab)).check()


def embed(embedder: Embedder, inputs: list[list[int]]) -> np.ndarray:
    """One row for each input."""
    out = np.full((len(inputs), embedder.n_embd), np.nan, dtype=np.float32)
    embedder.embed(inputs, out)
    return out


def assert_rows_close(rows: np.ndarray, expected: np.ndarray, most: float) -> None:
    """Same direction, and same numbers: nothing is normalized."""
    cosine = (rows * expected).sum(-1) / np.linalg.norm(rows, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert cosine.min() > 1 - min(1e-4, most / 100)
    difference = float(np.abs(rows - expected).max())
    assert difference < most


@pytest.fixture
def bert(reference: ReferenceModels) -> ReferenceModel:
    """The encoder."""
    if reference.bert is None:
        pytest.skip("the vendored llama.cpp tree has no vocabulary of a BERT here")
    return reference.bert


@pytest.fixture
def texts() -> list[list[int]]:
    """70 inputs of a BERT, of many lengths in no order: [CLS], words, [SEP]."""
    lengths = [1, 2, 510, 300, *random.Random(9).choices(range(1, 120), k=66)]
    return [[101, *random.Random(i).choices(range(1000, 30_000), k=n), 102] for i, n in enumerate(lengths)]


@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_encoder_embeddings(
    bert: ReferenceModel, load: Callable[..., Model], texts: list[list[int]], flash_attention: bool | str
) -> None:
    """Would catch: inputs of one call that see each other, rows in a wrong order, another pooling."""
    options = LoadOptions(flash_attention=flash_attention)
    embedder = Embedder(load(bert.gguf).native, options, n_ctx=512, n_threads=N_THREADS)
    together = embed(embedder, texts)
    expected = np.stack([bert.hidden_states(text).mean(axis=0) for text in texts])
    # llama.cpp looks GELU up in a table of 16-bit floats: a bit of rounding before it may be a step there
    most = 2e-2 if flash_attention else 5e-3
    assert_rows_close(together, expected, most)
    alone = np.concatenate([embed(embedder, [text]) for text in texts])
    assert_rows_close(alone, together, most)
    embedder.close()


@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_decoder_embeddings(
    decoder: ReferenceModel, load: Callable[..., Model], flash_attention: bool | str
) -> None:
    """Would catch: the state of another token than the last, one before the norm, an earlier call's cells."""
    options = LoadOptions(kv_cache_type="f32", flash_attention=flash_attention)
    embedder = Embedder(load(decoder.gguf).native, options, n_ctx=700, n_threads=N_THREADS)
    inputs = [random_prompt(length, seed=length) for length in (5, 700, 1, 64, 17, 513, 2, 100)]
    expected = np.stack([decoder.hidden_states(tokens)[-1] for tokens in inputs])
    most = 1e-1 if flash_attention else 1e-4
    for _ in range(2):
        assert_rows_close(embed(embedder, inputs), expected, most)
    alone = np.concatenate([embed(embedder, [tokens]) for tokens in inputs])
    assert_rows_close(alone, expected, most)
    embedder.close()


def test_an_encoder_in_the_library(bert: ReferenceModel) -> None:
    """Would catch an LLM that cannot be made of an embedding model, or that lets it generate."""
    from pyollama import LLM
    from pyollama.errors import Unsupported

    with LLM(bert.gguf) as llm:
        assert not llm.model.generates
        vectors = llm.embed(["one", "two three"])
        assert vectors.shape == (2, llm.model.native.n_embd)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(llm.embed("one")[0], vectors[0], atol=1e-2)
        with pytest.raises(Unsupported, match="embed"):
            llm.generate("one")
        with pytest.raises(Unsupported, match="embed"):
            llm.chat([{"role": "user", "content": "one"}])


def test_embeddings_with_lora(reference: ReferenceModels, load: Callable[..., Model]) -> None:
    """Would catch: adapters that generation uses and embeddings do not."""
    merged = reference.llama.with_lora(reference.lora, 0.5)
    model = load(reference.llama.gguf, ((str(reference.lora.gguf), 0.5),))
    embedder = Embedder(
        model.native, LoadOptions(kv_cache_type="f32", flash_attention=False), n_ctx=64, n_threads=N_THREADS
    )
    inputs = [random_prompt(length, seed=length) for length in (3, 20)]
    expected = np.stack([merged.hidden_states(one)[-1] for one in inputs])
    assert_rows_close(embed(embedder, inputs), expected, most=1e-4)
    embedder.close()


def test_tokens_of_the_converted_tokenizer(reference: ReferenceModels, load: Callable[..., Model]) -> None:
    """Would catch: a text that becomes other tokens than the model was trained with."""
    model = load(reference.llama.gguf)
    for text in ("", "bar dan", "  Bar\tdan\n\n", "naïve 漢字 😀", "lo" * 50):
        assert model.tokenize(text) == [1, *reference.tokenizer.encode(text)]
        assert model.tokenize(text, add_special=False) == reference.tokenizer.encode(text)


N_CTX = 64


@pytest.mark.parametrize("n_keep", [0, 4, -1])
@pytest.mark.parametrize("flash_attention", [False, "auto"])
def test_context_shift(
    reference: ReferenceModels, start: Callable[..., Engine], n_keep: int, flash_attention: bool | str
) -> None:
    """Would catch: a shift that drops the wrong cells, or leaves keys turned to their old positions."""
    model = reference.llama
    prompt = random_prompt(20, seed=7)
    engine = start(model, n_ctx=N_CTX, flash_attention=flash_attention)
    (answer,) = ask(engine, [prompt], model.n_vocab, n_predict=200, n_keep=n_keep)
    assert answer.finish == "length"
    assert len(answer.tokens) == answer.stats["n_generated"] == 200
    kept = len(prompt) if n_keep < 0 else n_keep
    rows, n_shifts = model.log_probs_with_shifts(prompt, answer.tokens, n_ctx=N_CTX, n_keep=kept)
    assert answer.stats["n_shifts"] == n_shifts > 0
    compare_rows(rows, answer).check(PRECISIONS[flash_attention])


def test_shifts_of_neighbours(reference: ReferenceModels, start: Callable[..., Engine]) -> None:
    """Would catch: a shift of one sequence that moves the cells of another."""
    model = reference.llama
    engine = start(model, n_ctx=N_CTX, n_parallel=4)
    prompts = [random_prompt(length, seed=80 + length) for length in (3, 20, 45, 60, 64, 1)]
    for prompt, answer in zip(prompts, ask(engine, prompts, model.n_vocab, n_predict=100), strict=True):
        kept = min(4, len(prompt))
        rows, n_shifts = model.log_probs_with_shifts(prompt, answer.tokens, n_ctx=N_CTX, n_keep=kept)
        assert answer.stats["n_shifts"] == n_shifts > 0
        compare_rows(rows, answer).check()


def test_shifted_cells_are_not_reused(reference: ReferenceModels, start: Callable[..., Engine]) -> None:
    """Would catch: a later prompt that finds cells computed in a context which is gone."""
    model = reference.llama
    prompt = random_prompt(20, seed=7)
    engine = start(model, n_ctx=N_CTX)
    (first,) = ask(engine, [prompt], model.n_vocab, n_predict=60)
    assert first.stats["n_shifts"] == 1
    # what the cells hold after the shift: 4 kept, 30 dropped, the rest moved
    everything = prompt + first.tokens
    (again,) = ask(engine, [everything[:4] + everything[34:]], model.n_vocab, n_predict=10)
    assert again.stats["n_cached"] == 4
    compare(model, [everything[:4] + everything[34:]], [again]).check()
    (third,) = ask(engine, [prompt], model.n_vocab, n_predict=10)
    compare(model, [prompt], [third]).check()


@pytest.mark.parametrize("n_prompt", [20, N_CTX - 1, N_CTX])
def test_without_shift_the_context_is_filled(
    reference: ReferenceModels, start: Callable[..., Engine], n_prompt: int
) -> None:
    """Would catch: an answer that ends early or late.

    The last token is chosen by the logits of the last cell and needs no cell itself, so one more token comes
    out than the context holds.
    """
    engine = start(reference.llama, n_ctx=N_CTX)
    prompt = random_prompt(n_prompt, seed=7)
    (answer,) = ask(engine, [prompt], reference.llama.n_vocab, n_predict=-1, shift=False)
    assert answer.finish == "length"
    assert answer.stats["n_shifts"] == 0
    assert len(prompt) + len(answer.tokens) == N_CTX + 1
    assert engine.status()["n_cells"] == N_CTX
    compare(reference.llama, [prompt], [answer]).check()


def test_a_context_of_the_request(reference: ReferenceModels, start: Callable[..., Engine]) -> None:
    """Would catch: a request that asks for less context than the engine has and gets all of it."""
    engine = start(reference.llama, n_ctx=512)
    prompt = random_prompt(20, seed=7)
    (answer,) = ask(engine, [prompt], reference.llama.n_vocab, n_predict=-1, shift=False, n_ctx=48)
    assert len(prompt) + len(answer.tokens) == 48 + 1
    for n_ctx, length in ((48, 49), (0, 513)):
        with pytest.raises(ContextLengthExceeded):
            engine.submit(random_prompt(length, seed=1), GREEDY, Channel(), seed=1, n_ctx=n_ctx)
