"""`LLM`: a model in this process, ready to generate, chat and embed."""

from pyollama.llm.llm import LLM
from pyollama.llm.results import ChatCompletion, Chunk, Completion, Logprob, Stats
from pyollama.llm.stream import AsyncStream, Stream

__all__ = ["LLM", "AsyncStream", "ChatCompletion", "Chunk", "Completion", "Logprob", "Stats", "Stream"]
