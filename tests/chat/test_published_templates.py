"""Published templates: our prompt is, byte for byte, what transformers would make of the same conversation."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jinja2.exceptions import TemplateError as ReferenceError_

from pyollama.native.chat import ChatTemplate

from .conftest import TEMPLATES
from .reference import render as reference_render

NOW = 1_700_000_000
NAMES = sorted(path.stem for path in TEMPLATES.glob("*.jinja")) or ["no templates"]

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "one question": [{"role": "user", "content": "Hi there"}],
    "system": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": "Hi"}],
    "three turns": [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": 'Three "é" <b> \n {{ 4 }} 漢字?'},
    ],
    "system and five turns": [
        {"role": "system", "content": "A & B\t."},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b\n\n- c"},
        {"role": "user", "content": "d"},
        {"role": "assistant", "content": "e"},
        {"role": "user", "content": "f"},
    ],
}

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Weather of a city",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "Its name"}},
                "required": ["city"],
            },
        },
    }
]
TOOL_CONVERSATION = [
    {"role": "user", "content": "Weather in Oslo?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {
                "type": "function",
                "id": "call00001",
                "function": {"name": "get_weather", "arguments": {"city": "Oslo"}},
            }
        ],
    },
    {"role": "tool", "content": '{"c": 4}', "name": "get_weather", "tool_call_id": "call00001"},
]

# The reference does not render these conversations (unknown variables, methods that its sandbox forbids), or
# llama.cpp writes the history in another way on purpose.
NO_REFERENCE = {"fireworks-ai-llama-3-firefunction-v2"}
NO_TOOL_REFERENCE = {
    "Kimi-K2-Instruct",
    "Kimi-K2-Thinking",
    "fireworks-ai-llama-3-firefunction-v2",
    "google-gemma-2-2b-it",
    "llama-cpp-deepseek-r1",
    "meetkai-functionary-medium-v3.2",
}
OTHER_TOOL_HISTORY = {"google-gemma-4-31B-it-interleaved", "meetkai-functionary-medium-v3.1"}


def variables(**more: Any) -> dict[str, Any]:
    local = time.localtime(NOW)
    return {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "enable_thinking": True,
        "date_string": time.strftime("%d %b %Y", local),
        "datetime": time.strftime("%b %d %Y", local),
        **more,
    }


def render(source: str, request: dict[str, Any]) -> str:
    template = ChatTemplate(source, bos="<s>", eos="</s>")
    return json.loads(template.render(json.dumps({"now": NOW, **request})))["prompt"]


@pytest.mark.parametrize("name", NAMES)
def test_prompt_is_what_transformers_renders(name, template_source):
    """Catches: white space, filters, escapes, clock or variables that differ from what the model was trained on."""
    source = template_source(name)
    compared = 0
    for title, messages in CONVERSATIONS.items():
        for generate in (True, False):
            try:
                wanted = reference_render(
                    source, messages, now=NOW, **variables(add_generation_prompt=generate)
                )
            except ReferenceError_:
                continue  # no system role, or no reference at all
            got = render(source, {"messages": messages, "add_generation_prompt": generate})
            assert got == wanted, (title, generate)
            compared += 1
    assert compared >= (0 if name in NO_REFERENCE else 4)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in NO_TOOL_REFERENCE | OTHER_TOOL_HISTORY]
)
def test_prompt_with_tools_is_what_transformers_renders(name, template_source):
    """Catches: tools or calls in another order or notation, arguments as text where an object is meant."""
    source = template_source(name)
    wanted = reference_render(
        source, TOOL_CONVERSATION, now=NOW, **variables(add_generation_prompt=True, tools=TOOLS)
    )
    assert render(source, {"messages": TOOL_CONVERSATION, "tools": TOOLS}) == wanted


@pytest.mark.parametrize("name", NAMES)
def test_every_template_renders_with_tools_and_says_what_it_can_do(name, template_source):
    """Catches: a template that compiles but fails as soon as tools, calls or a missing "items" come in."""
    template = ChatTemplate(template_source(name))
    capabilities = json.loads(template.capabilities)
    assert capabilities["supports_string_content"] or capabilities["supports_typed_content"]
    tool = json.loads(json.dumps(TOOLS[0]))
    tool["function"]["parameters"]["properties"]["tags"] = {"type": "array", "items": {"type": "string"}}
    result = json.loads(template.render(json.dumps({"messages": TOOL_CONVERSATION[:1], "tools": [tool]})))
    assert "Oslo" in result["prompt"]
    if name == "openai-gpt-oss-120b":
        del tool["function"]["parameters"]["properties"]["tags"]["items"]
        template.render(json.dumps({"messages": TOOL_CONVERSATION[:1], "tools": [tool]}))


def test_system_message_reaches_a_template_without_system_role(template_source):
    """Catches: a system message that is refused, or silently lost, with Gemma 2."""
    prompt = render(template_source("google-gemma-2-2b-it"), {"messages": CONVERSATIONS["system"]})
    assert "<start_of_turn>user\nYou are terse.\nHi<end_of_turn>" in prompt
