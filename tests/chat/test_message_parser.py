"""MessageParser: the text of a model becomes content, reasoning and tool calls."""

from __future__ import annotations

import json

import pytest

from pyollama.errors import EngineError, InvalidRequest
from pyollama.native.chat import ChatTemplate, MessageParser

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

# How each family writes a call of get_weather(city="Oslo"), after its thinking if it has any.
CALLS = {
    "Qwen-Qwen2.5-7B-Instruct": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    "Qwen3-Coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n"
    "</tool_call>",
    "mistralai-Mistral-Nemo-Instruct-2407": "[TOOL_CALLS]"
    '[{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "123456789"}]',
    "openai-gpt-oss-120b": "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant"
    "<|channel|>commentary to=functions.get_weather "
    '<|constrain|>json<|message|>{"city": "Oslo"}',
}


def rendered(source: str, **request) -> bytes:
    return ChatTemplate(source).render(
        json.dumps({"messages": [{"role": "user", "content": "Hi"}], **request})
    )


def parse(parser: MessageParser, text: str, is_partial: bool = False) -> dict:
    return json.loads(parser.parse(text, is_partial))


@pytest.mark.parametrize("name", CALLS)
def test_tool_call(name, template_source):
    """Catches: a family whose calls stay in the content, or lose their name or arguments."""
    parser = MessageParser(rendered(template_source(name), tools=[TOOL]))
    message = parse(parser, CALLS[name])
    (call,) = message["tool_calls"]
    assert call["name"] == "get_weather"
    assert json.loads(call["arguments"]) == {"city": "Oslo"}
    assert message["content"] == ""


@pytest.mark.parametrize("name", CALLS)
def test_streamed_tool_call(name, template_source):
    """Catches: a prefix of an answer that is an error, takes back what was sent, or shows a piece of a marker."""
    parser = MessageParser(rendered(template_source(name), tools=[TOOL]))
    text, arguments = CALLS[name], ""
    for end in range(len(text) + 1):
        message = parse(parser, text[:end], True)
        assert "tool_call" not in message["content"].lower()
        if message["tool_calls"]:
            assert message["tool_calls"][0]["arguments"].startswith(arguments)
            arguments = message["tool_calls"][0]["arguments"]
    assert json.loads(arguments) == {"city": "Oslo"}


def test_reasoning(template_source):
    """Catches: thinking that ends up in the answer."""
    source = template_source("Qwen-Qwen3-0.6B")
    text = "<think>\nHm, é.\n</think>\n\nHello"
    message = parse(MessageParser(rendered(source)), text)
    assert (message["reasoning_content"].strip(), message["content"]) == ("Hm, é.", "Hello")
    message = parse(MessageParser(rendered(source, reasoning_format="none")), text)
    assert (message["reasoning_content"], "Hm, é." in message["content"]) == ("", True)


def test_everything_is_content_without_a_parser():
    """Catches: plain text that is changed on its way through."""
    text = '<think>{"x": [[[ \u0000 漢</think>' + "[" * 10_000
    assert parse(MessageParser("{}"), text)["content"] == text


def test_output_that_does_not_match(template_source):
    """Catches: a broken call that crashes or is taken for a good one."""
    parser = MessageParser(
        rendered(template_source("openai-gpt-oss-120b"), tools=[TOOL], tool_choice="required")
    )
    with pytest.raises(EngineError):
        parser.parse("no call at all", False)


@pytest.mark.parametrize("name", CALLS)
def test_endless_brackets(name, template_source):
    """Catches: a user who makes the model write brackets until the parser's recursion overflows the stack."""
    parser = MessageParser(rendered(template_source(name), tools=[TOOL]))
    head = CALLS[name].split('"Oslo"')[0]
    with pytest.raises(EngineError, match="brackets"):
        parser.parse(head + "[" * 100_000, True)
    try:
        parser.parse(head + "[" * 400, True)
    except EngineError:
        pass


@pytest.mark.parametrize(
    "params", ["", "[]", '{"format": "x"}', '{"parser": "{"}', '{"parser": "{}"}', '{"parser": 1}']
)
def test_bad_parameters(params):
    """Catches: parser descriptions from elsewhere that crash native code."""
    with pytest.raises(InvalidRequest):
        MessageParser(params)
