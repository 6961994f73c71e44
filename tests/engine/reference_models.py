"""Small random models in two forms: a transformers module, and the GGUF llama.cpp's converter makes of it.

Importing this module imports torch and transformers, which takes seconds: do it in a fixture.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from gguf import GGUFReader
from safetensors.torch import save_file
from transformers import (
    BertConfig,
    BertModel,
    DynamicCache,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from transformers.models.llama.modeling_llama import rotate_half

LLAMA_CPP = Path(__file__).parents[2] / "vendor" / "llama.cpp"
BERT_VOCABULARY = LLAMA_CPP / "models" / "ggml-vocab-bert-bge.gguf"
N_VOCAB = 512
EOS = 2
LORA_RANK = 4
LORA_ALPHA = 6
# transformers renamed it
CACHE_ARGUMENT = (
    "cache" if "cache" in inspect.signature(LlamaForCausalLM.forward).parameters else "past_key_values"
)


@dataclass(frozen=True)
class ReferenceModel:
    """One model: the module that says what is right, and the file that the engine loads."""

    gguf: Path
    module: PreTrainedModel

    @property
    def n_vocab(self) -> int:
        """Rows of the vocabulary."""
        return self.module.config.vocab_size

    def log_probs(self, tokens: list[int]) -> np.ndarray:
        """Log-probabilities of what follows each token, shape (len(tokens), n_vocab)."""
        with torch.inference_mode():
            logits = self.module(torch.tensor([tokens])).logits[0]
            return torch.log_softmax(logits, dim=-1).numpy()

    def greedy(self, prompt: list[int], n: int) -> list[int]:
        """The n tokens that transformers generates, the end-of-sequence token never among them."""
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            output = self.module.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=n,
                do_sample=False,
                suppress_tokens=[EOS],
                pad_token_id=0,
            )
        return output[0, len(prompt) :].tolist()

    def hidden_states(self, tokens: list[int]) -> np.ndarray:
        """The states after the last norm, shape (len(tokens), hidden size)."""
        with torch.inference_mode():
            output = self.module.base_model(torch.tensor([tokens]))
            return output.last_hidden_state[0].numpy()

    def with_lora(self, adapter: LoraAdapter, scale: float) -> ReferenceModel:
        """The same model with the adapter's matrices added to the weights."""
        module = copy.deepcopy(self.module)
        with torch.no_grad():
            for name, (a, b) in adapter.matrices.items():
                weight = module.get_submodule(name).weight
                weight += scale * LORA_ALPHA / LORA_RANK * (b @ a)
        return ReferenceModel(self.gguf, module)

    def log_probs_with_shifts(
        self, prompt: list[int], generated: list[int], *, n_ctx: int, n_keep: int
    ) -> tuple[np.ndarray, int]:
        """As `log_probs` of the generated tokens, in a context that drops cells when it is full.

        The older half of what follows the first n_keep cells goes; the keys that stay are turned to their
        new positions.

        Returns:
            The rows, shape (len(generated), n_vocab), and the number of shifts.
        """
        rows = []
        n_shifts = 0
        cache = DynamicCache(config=self.module.config)
        with torch.inference_mode():
            output = self.module(torch.tensor([prompt]), use_cache=True, **{CACHE_ARGUMENT: cache})
            rows.append(output.logits[0, -1])
            n_cells = len(prompt)
            for token in generated[:-1]:
                if n_cells == n_ctx:
                    n_discard = (n_cells - n_keep) // 2
                    self._drop_cells(cache, n_keep, n_discard)
                    n_cells -= n_discard
                    n_shifts += 1
                output = self.module(
                    torch.tensor([[token]]),
                    position_ids=torch.tensor([[n_cells]]),
                    use_cache=True,
                    **{CACHE_ARGUMENT: cache},
                )
                n_cells += 1
                rows.append(output.logits[0, -1])
            return torch.log_softmax(torch.stack(rows), dim=-1).numpy(), n_shifts

    def _drop_cells(self, cache: DynamicCache, n_keep: int, n_discard: int) -> None:
        for layer in cache.layers:
            moved = layer.keys[:, :, n_keep + n_discard :]
            cos, sin = self.module.model.rotary_emb(moved, torch.tensor([[-n_discard]]))
            moved = moved * cos + rotate_half(moved) * sin
            layer.keys = torch.cat([layer.keys[:, :, :n_keep], moved], dim=2)
            layer.values = torch.cat(
                [layer.values[:, :, :n_keep], layer.values[:, :, n_keep + n_discard :]], dim=2
            )


@dataclass(frozen=True)
class LoraAdapter:
    """A LoRA adapter: the matrices A and B by module name, and the file that the engine loads."""

    gguf: Path
    matrices: dict[str, tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True)
class ReferenceModels:
    """All models of the tests."""

    llama: ReferenceModel
    qwen2: ReferenceModel
    bert: ReferenceModel | None
    """None where the tree of llama.cpp has no vocabulary of a BERT."""
    lora: LoraAdapter
    """For llama."""
    tokenizer: sentencepiece.SentencePieceProcessor
    """Of llama and qwen2."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: its others would wait busily beside the engine's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def build(folder: Path) -> ReferenceModels:
    """Make all models in a folder; the converter runs for all of them at the same time."""
    tokenizer = _train_tokenizer(folder / "tokenizer")
    decoder_sizes = {
        "vocab_size": N_VOCAB,
        "hidden_size": 128,
        "intermediate_size": 224,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": EOS,
        "attn_implementation": "eager",
    }
    llama = LlamaForCausalLM(LlamaConfig(num_hidden_layers=4, tie_word_embeddings=False, **decoder_sizes))
    qwen2 = Qwen2ForCausalLM(Qwen2Config(num_hidden_layers=3, tie_word_embeddings=True, **decoder_sizes))
    converter = "convert_hf_to_gguf.py"
    jobs = []
    for name, module, seed in (("llama", llama, 11), ("qwen2", qwen2, 22)):
        _randomize(module, seed)
        module.save_pretrained(folder / name)
        (folder / name / "tokenizer.model").write_bytes(tokenizer.serialized_model_proto())
        jobs.append((converter, folder / name, folder / f"{name}.gguf", []))

    matrices = _random_lora(llama, folder / "lora", seed=33)
    jobs.append(
        ("convert_lora_to_gguf.py", folder / "lora", folder / "lora.gguf", ["--base", str(folder / "llama")])
    )
    bert = None
    if BERT_VOCABULARY.is_file():
        bert = _random_bert(folder / "bert", seed=44)
        jobs.append((converter, folder / "bert", folder / "bert.gguf", []))
    _convert(jobs)
    return ReferenceModels(
        llama=ReferenceModel(folder / "llama.gguf", llama),
        qwen2=ReferenceModel(folder / "qwen2.gguf", qwen2),
        bert=None if bert is None else ReferenceModel(folder / "bert.gguf", bert),
        lora=LoraAdapter(folder / "lora.gguf", matrices),
        tokenizer=tokenizer,
    )


def negate_a_tensor(gguf: Path, name: str) -> None:
    """Change a file to one with the same metadata and other weights."""
    reader = GGUFReader(gguf, "r+")
    (tensor,) = (tensor for tensor in reader.tensors if tensor.name == name)
    tensor.data[:] = -tensor.data
    reader.data.flush()


def _randomize(module: PreTrainedModel, seed: int) -> None:
    """Move every weight: zero biases and norms of one, as in a fresh model, would hide that they are lost."""
    generator = torch.Generator().manual_seed(seed)
    embedding = module.get_input_embeddings().weight
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(0.2 * noise + (0.0 if name.endswith(".bias") else 1.0))
            elif parameter is embedding:
                parameter.copy_(0.2 * noise)
            else:
                parameter.copy_(1.5 * noise / math.sqrt(parameter.shape[-1]))
    module.eval()


def _train_tokenizer(prefix: Path) -> sentencepiece.SentencePieceProcessor:
    """A SentencePiece BPE over made-up words. The converter knows this kind by its file, not by a hash."""
    numbers = random.Random(5)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er", "ol")]
    words = ["".join(numbers.choices(syllables, k=numbers.randint(1, 4))) for _ in range(300)]
    sentences = (" ".join(numbers.choices(words, k=12)) for _ in range(400))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=N_VOCAB,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=f"{prefix}.model")


def _random_lora(
    base: LlamaForCausalLM, folder: Path, seed: int
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """A PEFT folder, written by hand, for every linear layer but the output."""
    generator = torch.Generator().manual_seed(seed)
    matrices = {}
    tensors = {}
    for name, module in base.named_modules():
        if not isinstance(module, torch.nn.Linear) or name == "lm_head":
            continue
        n_out, n_in = module.weight.shape
        a = torch.randn((LORA_RANK, n_in), generator=generator) / math.sqrt(n_in)
        b = 0.5 * torch.randn((n_out, LORA_RANK), generator=generator) / math.sqrt(LORA_RANK)
        matrices[name] = (a, b)
        tensors[f"base_model.model.{name}.lora_A.weight"] = a
        tensors[f"base_model.model.{name}.lora_B.weight"] = b
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": LORA_RANK,
        "lora_alpha": LORA_ALPHA,
        "target_modules": sorted({name.rsplit(".", 1)[1] for name in matrices}),
        "bias": "none",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return matrices


def _random_bert(folder: Path, seed: int) -> BertModel:
    """A BERT with mean pooling and a vocabulary whose pre-tokenizer the converter knows."""
    words = _bert_words()
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        max_position_embeddings=512,
        attn_implementation="eager",
    )
    module = BertModel(config, add_pooling_layer=False)
    _randomize(module, seed)
    module.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    pooling = [{"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(pooling), encoding="utf-8")
    (folder / "1_Pooling").mkdir()
    mode = {"word_embedding_dimension": 64, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(mode), encoding="utf-8")
    return module


def _bert_words() -> list[str]:
    """vocab.txt as it was before the conversion, which turns "##ing" to "ing" and "word" to "\u2581word"."""
    field = GGUFReader(BERT_VOCABULARY).fields["tokenizer.ggml.tokens"]
    words = []
    for piece in (bytes(field.parts[i]).decode("utf-8") for i in field.data):
        if piece.startswith("\u2581"):
            words.append(piece[1:])
        elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            words.append(piece)
        else:
            words.append("##" + piece)
    return words


def _convert(jobs: list[tuple[str, Path, Path, list[str]]]) -> None:
    """Run converters side by side: most of their time is the import of torch."""
    env = dict(os.environ, HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    env["PYTHONPATH"] = os.pathsep.join([str(LLAMA_CPP / "gguf-py"), *filter(None, [env.get("PYTHONPATH")])])
    running = []
    for script, source, target, more in jobs:
        command = [sys.executable, str(LLAMA_CPP / script), str(source), "--outfile", str(target)]
        command += ["--outtype", "f32", *more]
        log = target.with_suffix(".log").open("w+", encoding="utf-8")
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        running.append((process, log, target))
    try:
        for process, log, target in running:
            if process.wait(timeout=120) != 0:
                log.seek(0)
                raise RuntimeError(f"the converter failed on {target.name}:\n{log.read()[-3000:]}")
    finally:
        for process, log, _ in running:
            process.kill()
            process.wait()
            log.close()
