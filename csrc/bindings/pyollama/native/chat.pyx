"""Chat templates, parsing of model output and JSON schemas as grammars, over llama.cpp.

JSON goes in and comes out as text (str or bytes in, bytes out). Nothing here needs a loaded model. The GIL is released
while native code works, and every object may be used by several threads at once.
"""

from pyollama.native.chat cimport (
    CppChatTemplate,
    CppMessageParser,
    SchemaGrammar,
    cpp_grammar_from_json_schema,
    json_grammar,
)
from libcpp cimport bool
from libcpp.memory cimport unique_ptr
from libcpp.string cimport string
from libcpp.utility cimport move

__all__ = ["JSON_GRAMMAR", "ChatTemplate", "MessageParser", "grammar_from_json_schema"]

#: A GBNF grammar for any JSON object that cannot run away in white space.
JSON_GRAMMAR = (<bytes> json_grammar).decode("ascii")

cdef bytes utf8(value):
    """The bytes of a text. A str that is no valid Unicode, such as half a surrogate pair, is an InvalidRequest."""
    from pyollama import errors

    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"expected str or bytes, got {type(value).__name__}")
    try:
        return (<str> value).encode("utf-8")
    except UnicodeEncodeError as e:
        raise errors.InvalidRequest(f"the text is not valid Unicode: {e.reason}") from None


cdef class ChatTemplate:
    """A chat template (Jinja) as a GGUF file carries it in ``tokenizer.chat_template``. Immutable.

    The template is a program of whoever made the model: one that runs too long, recurses too deeply or makes too much
    text is stopped with an error.

    Args:
        source: The template; ``"chatml"`` names llama.cpp's default, for models without one.
        bos: The text of the beginning-of-sequence token, ``""`` if there is none.
        eos: The text of the end-of-sequence token.
        tool_use_source: A second template for requests with tools.

    Raises:
        TemplateError: The template cannot be used.

    Example:
        >>> template = ChatTemplate("chatml")
        >>> json.loads(template.render('{"messages": [{"role": "user", "content": "Hi"}]}'))["prompt"]
        '<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n'
    """

    cdef unique_ptr[CppChatTemplate] _template

    def __init__(self, source, *, bos="", eos="", tool_use_source=""):
        cdef string c_source = utf8(source)
        cdef string c_bos = utf8(bos)
        cdef string c_eos = utf8(eos)
        cdef string c_tool_use = utf8(tool_use_source)
        cdef unique_ptr[CppChatTemplate] made
        with nogil:
            made.reset(new CppChatTemplate(c_source, c_bos, c_eos, c_tool_use))
        # One call of __init__ is the only one that counts: another thread may be rendering already.
        if self._template:
            raise RuntimeError("a ChatTemplate cannot be initialised twice")
        self._template = move(made)

    cdef CppChatTemplate * get(self) except NULL:
        if not self._template:
            raise RuntimeError("ChatTemplate.__init__ was not called")
        return self._template.get()

    @property
    def source(self):
        """The template as it was given (str)."""
        cdef string text = self.get().source()
        return text.decode("utf-8", "replace")

    @property
    def capabilities(self):
        """What the template can do: a JSON object of booleans (bytes), such as ``supports_tools``."""
        cdef string result = self.get().capabilities()
        return <bytes> result

    def render(self, request):
        """Render a conversation.

        Args:
            request: A JSON object (str or bytes): ``messages``, ``tools``, ``json_schema``, ``now``, ...;
                csrc/chat/chat_template.h lists the keys, those of the result and the rule for BOS.

        Returns:
            A JSON object (bytes): ``prompt``, ``grammar``, ``parser``, ...

        Raises:
            InvalidRequest: The request is not what it should be.
            GrammarError: A schema cannot be converted.
            TemplateError: The template failed, or refused the conversation.
        """
        cdef CppChatTemplate * template = self.get()
        cdef string c_request = utf8(request)
        cdef string result
        with nogil:
            result = template.render(c_request)
        return <bytes> result

    def parse(self, text, is_partial, params):
        """Take a model's output apart: ``MessageParser(params).parse(text, is_partial)``.

        For a stream of calls with the same params make one MessageParser instead.
        """
        return MessageParser(params).parse(text, is_partial)


cdef class MessageParser:
    """Takes a model's output apart into content, reasoning and tool calls. Immutable.

    Args:
        params: What ``ChatTemplate.render`` returned, or a JSON object with its ``format``, ``parser`` and
            ``generation_prompt``. With ``"{}"`` everything is content.

    Raises:
        InvalidRequest: The parameters are not what they should be.

    Example:
        >>> json.loads(MessageParser("{}").parse("Hi", False))["content"]
        'Hi'
    """

    cdef unique_ptr[CppMessageParser] _parser

    def __init__(self, params):
        cdef string c_params = utf8(params)
        cdef unique_ptr[CppMessageParser] made
        with nogil:
            made.reset(new CppMessageParser(c_params))
        if self._parser:
            raise RuntimeError("a MessageParser cannot be initialised twice")
        self._parser = move(made)

    def parse(self, text, is_partial=False):
        """Parse the text that the model has generated so far.

        Args:
            text: All of it, without the prompt (str or bytes).
            is_partial: More will follow; an unfinished tag or call at the end is no error.

        Returns:
            A JSON object (bytes): ``role``, ``content``, ``reasoning_content`` and ``tool_calls``, a list of objects
            with ``id``, ``name`` and ``arguments`` (JSON text).

        Raises:
            EngineError: The text does not match the format that the template implies.
        """
        if not self._parser:
            raise RuntimeError("MessageParser.__init__ was not called")
        cdef CppMessageParser * parser = self._parser.get()
        cdef string c_text = utf8(text)
        cdef bool c_partial = is_partial
        cdef string result
        with nogil:
            result = parser.parse(c_text, c_partial)
        return <bytes> result


def grammar_from_json_schema(schema):
    """Convert a JSON schema into a grammar.

    Args:
        schema: The schema as JSON text (str or bytes).

    Returns:
        The grammar (GBNF), and a list of what it cannot enforce, such as
        ``'"multipleOf" at /properties/x is not enforced'``.

    Raises:
        InvalidRequest: The text is not JSON.
        GrammarError: The schema is too large, contradicts itself or cannot be converted.

    Example:
        >>> grammar_from_json_schema('{"type": "boolean"}')[0].splitlines()[0]
        'root ::= ("true" | "false")'
    """
    cdef string c_schema = utf8(schema)
    cdef SchemaGrammar result
    with nogil:
        result = cpp_grammar_from_json_schema(c_schema)
    warnings = [warning.decode("utf-8", "replace") for warning in result.warnings]
    return result.grammar.decode("utf-8", "replace"), warnings
