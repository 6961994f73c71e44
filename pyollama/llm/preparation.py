"""From the arguments of a call to a request of the engine."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pyollama.engine import OPTIONS, Engine, GenerationRequest, Model, Options, ResolvedOptions
from pyollama.errors import ContextLengthExceeded, InvalidRequest, OptionError, TemplateError, Unsupported
from pyollama.llm.settings import OptionsLike
from pyollama.llm.truncation import NOTHING, Truncated, check_length, cut_tokens, fit_messages
from pyollama.prompt import ChatTemplate, Format, Message, grammar_of
from pyollama.prompt.message import MessageLike, read_messages

__all__ = ["Preparation", "Prepared"]

log = logging.getLogger("pyollama")

# Load options that a request may give without loading the model again: it asks for less than there is.
WITHIN_LIMITS = ("num_ctx", "num_batch")
# The reference's words, which clients know.
CANNOT_SHORTEN = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, adjust the "
    "context length in settings, or use a model with a longer context length"
)


class Prepared(msgspec.Struct, frozen=True):
    """A request, and what has to be said about it."""

    request: GenerationRequest
    warnings: tuple[str, ...] = ()
    truncated: Truncated = NOTHING


class _Prompt(msgspec.Struct, frozen=True):
    """Tokens, the stop strings of their template, and what was left out of them."""

    tokens: tuple[int, ...]
    stop: tuple[str, ...] = ()
    truncated: Truncated = NOTHING


class Preparation:
    """Renders, tokenizes and checks requests for one model. Any number of threads may use it.

    Args:
        model: The model.
        options: What was given for the model; a request's own options win.
        system: System message for conversations without one; empty: none.
        history: Messages that come before those of every conversation.
        engine: The engine that the requests are for; None where the model does not generate text.
        served: A server decides how the model is loaded: load options of a request mean nothing any more, and a
            template that cannot be parsed is the affair of the requests that need it.
    """

    def __init__(
        self,
        model: Model,
        options: Options,
        *,
        system: str,
        history: tuple[Message, ...],
        engine: Engine | None,
        served: bool = False,
    ) -> None:
        self._served = served
        self._model = model
        self._options = options
        self._system = system
        self._history = history
        self._n_ctx = engine.n_ctx if engine is not None else 0
        _check_system(system)
        source = model.native.chat_template() if engine is not None else ""
        self._template: ChatTemplate | None = None
        self._template_error: TemplateError | None = None
        try:
            self._template = _template(model, source) if source else None
        except TemplateError as error:
            if not served:
                raise
            self._template_error = error
        if engine is not None and self._template is None and (system or history):
            raise InvalidRequest(
                f"{model.header.path} has no chat template, so a system message has no place: put it into the prompt"
            )

    def generate(
        self,
        prompt: str,
        *,
        system: str | None = None,
        raw: bool = False,
        context: Sequence[int] = (),
        options: OptionsLike = None,
        format: Format = None,
        logprobs: int | None = None,
        truncate: bool = False,
        shift: bool = True,
    ) -> Prepared:
        """As `LLM.generate`; for ``truncate`` and ``shift`` see `chat`."""
        self._check_model()
        if not isinstance(prompt, str):
            raise InvalidRequest(f"the prompt must be a str, got {type(prompt).__name__}")
        if isinstance(context, (str, bytes, Mapping)) or not isinstance(context, Iterable):
            raise InvalidRequest(f"context must be a list of token ids, got {type(context).__name__}")
        _check_system(system)
        if not raw:
            self._check_template()
        resolved = self._resolve(options, format)
        before = tuple(context)
        if raw or self._template is None:
            if system:
                why = "raw is set" if raw else "the model has no chat template"
                raise InvalidRequest(f"{why}, so a system message has no place: put it into the prompt")
            made = _Prompt((*before, *self._model.tokenize(prompt, add_special=not before)))
        elif before:  # it has the beginning of the conversation already
            own = [Message("system", system)] if system else []
            rendered = self._template.render([*own, Message("user", prompt)])
            tokens = (*before, *self._model.tokenize(rendered.prompt, add_special=False))
            made = _Prompt(tokens, rendered.stop)
        else:
            conversation = self._with_beginning([Message("user", prompt)], system)
            made = self._rendered(self._template, conversation, self._limit(resolved), truncate)
        return self._request(made, resolved, format, logprobs, truncate, shift)

    def chat(
        self,
        messages: Iterable[MessageLike],
        *,
        options: OptionsLike = None,
        format: Format = None,
        logprobs: int | None = None,
        truncate: bool = False,
        shift: bool = True,
    ) -> Prepared:
        """As `LLM.chat`.

        Args:
            truncate: Shorten what is longer than the context: first the oldest messages go, then the middle of the
                text. False: it is an error.
            shift: Whether a full context drops its older half and goes on.
        """
        self._check_model()
        self._check_template()
        conversation = read_messages(messages)
        if self._template is None:
            raise Unsupported(
                f"{self._model.header.path} has no chat template: use generate(), which gives it the text as it is"
            )
        resolved = self._resolve(options, format)
        made = self._rendered(
            self._template, self._with_beginning(conversation, None), self._limit(resolved), truncate
        )
        return self._request(made, resolved, format, logprobs, truncate, shift)

    @property
    def has_template(self) -> bool:
        """Whether the model has a chat template, be it one that cannot be used."""
        return self._template is not None or self._template_error is not None

    def _check_template(self) -> None:
        if self._template_error is not None:
            raise self._template_error

    def _check_model(self) -> None:
        if not self._n_ctx:
            raise Unsupported(
                f"{self._model.header.path} does not generate text; use it for embed() or tokenize()"
            )

    def _with_beginning(self, messages: list[Message], system: str | None) -> list[Message]:
        """The model's own system message and history first, as the reference does."""
        text = self._system if system is None else system
        begins_with_system = messages[0].role == "system"
        own = [Message("system", text)] if text and not begins_with_system else []
        return [*own, *self._history, *messages]

    def _rendered(
        self, template: ChatTemplate, messages: Sequence[Message], n_ctx: int, truncate: bool
    ) -> _Prompt:
        def prompt_of(conversation: Sequence[Message]) -> tuple[tuple[int, ...], tuple[str, ...]]:
            rendered = template.render(conversation)
            return tuple(self._model.tokenize(rendered.prompt)), rendered.stop

        tokens, stop = prompt_of(messages)
        if not truncate or len(tokens) <= n_ctx:
            return _Prompt(tokens, stop)
        fitting = fit_messages(messages, lambda conversation: len(prompt_of(conversation)[0]), n_ctx)
        dropped = len(messages) - len(fitting)
        if not dropped:
            return _Prompt(tokens, stop)
        shorter, stop = prompt_of(fitting)
        log.warning("%d of %d messages do not fit the context of %d tokens", dropped, len(messages), n_ctx)
        return _Prompt(shorter, stop, Truncated(dropped, len(tokens) - len(shorter)))

    def _resolve(self, options: OptionsLike, format: Format) -> ResolvedOptions:
        given = Options.parse(options)
        self._check_load_options(given)
        resolved = Options.merge(given, self._options).resolve()
        if resolved.sampling.draft_num_predict:
            raise Unsupported(
                'option "draft_num_predict" needs a draft model, which this version cannot load yet'
            )
        if format is not None and format != "" and resolved.sampling.grammar:
            raise InvalidRequest('give either format or the option "grammar", not both')
        return resolved

    def _limit(self, resolved: ResolvedOptions) -> int:
        return min(resolved.load.num_ctx or self._n_ctx, self._n_ctx)

    def _request(
        self,
        prompt: _Prompt,
        resolved: ResolvedOptions,
        format: Format,
        logprobs: int | None,
        truncate: bool,
        shift: bool,
    ) -> Prepared:
        constraint = grammar_of(format, strict=resolved.sampling.strict)
        n_ctx = self._limit(resolved)
        tokens = prompt.tokens
        if truncate and len(tokens) > n_ctx:
            if not shift:
                raise ContextLengthExceeded(CANNOT_SHORTEN, n_tokens=len(tokens), n_ctx=n_ctx)
            num_keep = resolved.sampling.num_keep
            keep = num_keep + int(self._model.native.add_bos) if num_keep >= 0 else n_ctx
            tokens = cut_tokens(tokens, n_ctx, keep)
        check_length(tokens, n_ctx)
        cut = len(prompt.tokens) - len(tokens)
        request = GenerationRequest(
            prompt=tokens,
            sampling=resolved.sampling,
            grammar=constraint.grammar,
            stop=prompt.stop,
            num_ctx=n_ctx,
            num_batch=resolved.load.num_batch,
            logprobs=logprobs,
            shift=shift,
        )
        truncated = Truncated(prompt.truncated.messages, prompt.truncated.tokens + cut)
        return Prepared(request, constraint.warnings, truncated)

    def _check_load_options(self, given: Options) -> None:
        """Refuse what would need the model to be loaded again, as this class cannot do that."""
        if self._served:
            return
        loaded = self._model.options
        for name, value in given.given().items():
            if OPTIONS[name].group != "load" or value == getattr(loaded, name):
                continue
            limit = self._n_ctx if name == "num_ctx" else getattr(loaded, name)
            if name not in WITHIN_LIMITS or value > limit:
                raise OptionError(
                    f'option "{name}" was decided when the model was loaded ({limit!r}): '
                    f"give {name}={value!r} in LLM(options=...) instead",
                    option=name,
                    value=value,
                )


def _check_system(system: object) -> None:
    if system is not None and not isinstance(system, str):
        raise InvalidRequest(f"the system message must be a str, got {type(system).__name__}")


def _template(model: Model, source: str) -> ChatTemplate:
    native = model.native

    def text(token: int) -> str:
        return model.piece(token).decode("utf-8", "replace") if token >= 0 else ""

    return ChatTemplate(
        source,
        bos=text(native.bos_token),
        eos=text(native.eos_token),
        add_bos=native.add_bos,
        add_eos=native.add_eos,
    )
