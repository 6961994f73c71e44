# Of csrc/bindings/pyollama/native/chat.pyx.

__all__ = ["JSON_GRAMMAR", "ChatTemplate", "MessageParser", "grammar_from_json_schema"]

JSON_GRAMMAR: str

class ChatTemplate:
    def __init__(
        self,
        source: str | bytes,
        *,
        bos: str | bytes = "",
        eos: str | bytes = "",
        tool_use_source: str | bytes = "",
    ) -> None: ...
    @property
    def source(self) -> str: ...
    @property
    def capabilities(self) -> bytes: ...
    def render(self, request: str | bytes) -> bytes: ...
    def parse(self, text: str | bytes, is_partial: bool, params: str | bytes) -> bytes: ...

class MessageParser:
    def __init__(self, params: str | bytes) -> None: ...
    def parse(self, text: str | bytes, is_partial: bool = False) -> bytes: ...

def grammar_from_json_schema(schema: str | bytes) -> tuple[str, list[str]]: ...
