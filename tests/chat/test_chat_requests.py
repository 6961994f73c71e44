"""Requests to ChatTemplate: keys of the request, keys of the result, bad requests."""

from __future__ import annotations

import json
import threading
import time

import pytest

from pyollama.errors import GrammarError, InvalidRequest, TemplateError
from pyollama.native.chat import ChatTemplate

USER = {"role": "user", "content": "Hi"}


def render(template: ChatTemplate, **request):
    return json.loads(template.render(json.dumps({"messages": [USER], **request})))


@pytest.mark.parametrize(
    ("add_bos", "prompt", "starts_with_bos"), [(False, "<s>Hi</s>", True), (True, "Hi</s>", False)]
)
def test_bos_is_written_once(add_bos, prompt, starts_with_bos):
    """Catches: two BOS tokens, one from the template and one from the tokenizer."""
    template = ChatTemplate("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", bos="<s>", eos="</s>")
    result = render(template, add_bos=add_bos)
    assert (result["prompt"], result["starts_with_bos"]) == (prompt, starts_with_bos)


def test_eos_and_a_template_without_bos():
    """Catches: text taken away that the tokenizer will not put back."""
    template = ChatTemplate("{{ messages[0].content }}{{ eos_token }}", bos="<s>", eos="</s>")
    assert render(template, add_bos=True, add_eos=True)["prompt"] == "Hi"
    nothing = ChatTemplate("{{ bos_token }}{{ messages[0].content }}")
    assert render(nothing, add_bos=True, add_eos=True)["prompt"] == "Hi"


def test_clock():
    """Catches: a clock that cannot be set, in any of the three ways in which templates ask for the time."""
    template = ChatTemplate("{{ strftime_now('%Y-%m-%d %H:%M') }}|{{ date_string }}|{{ datetime }}")
    for now in (0, 1_700_000_000, 4_000_000_000):
        local = time.localtime(now)
        wanted = "|".join(time.strftime(f, local) for f in ("%Y-%m-%d %H:%M", "%d %b %Y", "%b %d %Y"))
        assert render(template, now=now)["prompt"] == wanted
    assert render(template)["prompt"][:4] == time.strftime("%Y")


def test_variables():
    """Catches: template variables that do not arrive, or cannot replace what we set ourselves."""
    template = ChatTemplate(
        "{{ a.b[1] }}|{{ date_string }}|{{ enable_thinking }}|{{ add_generation_prompt }}"
    )
    result = render(
        template,
        chat_template_kwargs={"a": {"b": [1, "x"]}, "date_string": "today"},
        enable_thinking=False,
        add_generation_prompt=False,
    )
    assert result["prompt"] == "x|today|False|False"


def test_continued_message(template_source):
    """Catches: an answer that starts anew instead of going on, or an end-of-turn marker in the middle of it."""
    template = ChatTemplate(template_source("Qwen-Qwen2.5-7B-Instruct"))
    result = render(
        template, messages=[USER, {"role": "assistant", "content": "Once upon"}], continue_final_message=True
    )
    assert result["prompt"].endswith("<|im_start|>assistant\nOnce upon")
    message = json.loads(template.parse(" a time", False, json.dumps(result)))
    assert message["content"] == "Once upon a time"


def test_tool_use_template():
    """Catches: a second template that is not used for requests with tools, or is used for others."""
    template = ChatTemplate("plain", tool_use_source="with tools")
    tool = {"function": {"name": "f"}}
    assert render(template)["prompt"] == "plain"
    assert render(template, tools=[tool], plain=True, tool_choice="none")["prompt"] == "with tools"


def test_plain_is_the_same_prompt(template_source):
    """Catches: the cheap way of rendering giving another prompt than the full one."""
    template = ChatTemplate(template_source("Qwen-Qwen3-0.6B"))
    plain, full = render(template, plain=True), render(template)
    assert plain["prompt"] == full["prompt"]
    assert plain["parser"] == ""


def test_content_parts():
    """Catches: parts that a template without typed content cannot show."""
    template = ChatTemplate("chatml")
    parts = [
        {"type": "text", "text": "a"},
        {"type": "media_marker", "text": "<__media__>"},
        {"type": "text", "text": "b"},
        {"type": "text", "text": "c"},
    ]
    assert (
        "user\na<__media__>b\nc<" in render(template, messages=[{"role": "user", "content": parts}])["prompt"]
    )


def test_grammar_and_schema():
    """Catches: a constraint that gets lost between the request and the result."""
    template = ChatTemplate("chatml")
    assert render(template, grammar='root ::= "x"')["grammar"] == 'root ::= "x"'
    schema = {"type": "object", "properties": {"n": {"type": "number", "minimum": 1}}, "required": ["n"]}
    result = render(template, json_schema=schema)
    assert '\\"n\\"' in result["grammar"]
    assert not result["grammar_lazy"]
    assert result["warnings"] == ['"minimum" at /properties/n is not enforced']
    message = json.loads(template.parse('{"n": 2}', False, json.dumps(result)))
    assert message["content"] == '{"n": 2}'


def test_thinking(template_source):
    """Catches: thinking models that are not recognised, by analysis or by a parser of their own."""
    for name, wanted in [
        ("Qwen-Qwen3-0.6B", True),
        ("openai-gpt-oss-120b", True),
        ("Qwen-Qwen2.5-7B-Instruct", False),
    ]:
        template = ChatTemplate(template_source(name))
        assert json.loads(template.capabilities)["supports_thinking"] is wanted
        assert render(template)["supports_thinking"] is wanted
    result = render(ChatTemplate(template_source("Qwen-Qwen3-0.6B")))
    assert (result["thinking_start_tag"], result["thinking_end_tags"]) == ("<think>", ["</think>"])


BAD = {
    "no JSON": "{",
    "no object": "[]",
    "no messages": "{}",
    "messages": {"messages": {}},
    "a message": {"messages": ["Hi"]},
    "a role": {"messages": [{"content": "x"}]},
    "a part": {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "calls": {"messages": [{"role": "assistant", "tool_calls": 1}]},
    "a call": {"messages": [{"role": "assistant", "tool_calls": [{"function": {}}]}]},
    "tools": {"tools": 1},
    "a tool": {"tools": [{"function": {}}]},
    "a tool's name": {"tools": [{"function": {"name": "x" * 300}}]},
    "tool_choice": {"tool_choice": "maybe"},
    "a flag": {"enable_thinking": "yes"},
    "a time": {"now": "noon"},
    "a far time": {"now": 1e300},
    "kwargs": {"chat_template_kwargs": []},
    "nothing to continue": {"continue_final_message": True},
    "two constraints": {"grammar": "x", "json_schema": {}},
    "plain with a schema": {"plain": True, "json_schema": {}},
    "nesting": '{"messages": ' + "[" * 1000 + "]" * 1000 + "}",
}


@pytest.mark.parametrize("request_", BAD.values(), ids=BAD)
def test_bad_request(request_):
    """Catches: a bad request that crashes, is taken, or looks like a mistake of the template."""
    text = request_ if isinstance(request_, str) else json.dumps({"messages": [USER], **request_})
    with pytest.raises(InvalidRequest) as caught:
        ChatTemplate("chatml").render(text)
    assert not isinstance(caught.value, (TemplateError, GrammarError))


def test_half_a_surrogate_pair():
    """Catches: a text that is no Unicode reaching native code, or a bare UnicodeEncodeError."""
    with pytest.raises(InvalidRequest):
        ChatTemplate("chatml").render('{"messages": []}\ud800')


def test_bad_schema_in_a_tool():
    """Catches: a tool's parameters that reach llama.cpp's converter without the checks of a schema."""
    deep: dict = {"type": "string"}
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}
    tool = {"function": {"name": "f", "parameters": deep}}
    with pytest.raises(GrammarError, match="nested deeper"):
        render(ChatTemplate("chatml"), tools=[tool])


def test_many_threads_with_one_template(template_source):
    """Catches: renderings of the same object that disturb each other."""
    template = ChatTemplate(template_source("meta-llama-Llama-3.1-8B-Instruct"), bos="<s>")
    wanted = {
        i: render(template, messages=[{"role": "user", "content": f"say {i}"}], now=i * 86400)
        for i in range(8)
    }
    wrong = []

    def work(i):
        for _ in range(25):
            if (
                render(template, messages=[{"role": "user", "content": f"say {i}"}], now=i * 86400)
                != wanted[i]
            ):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_is_printed(capfd, template_source):
    """Catches: llama.cpp's logger or its schema converter writing to the terminal of whoever imports us."""
    template = ChatTemplate(template_source("google-gemma-4-31B-it"))
    tool = {
        "function": {
            "name": "f",
            "parameters": {
                "type": "object",
                "properties": {
                    "a": {"type": "string", "pattern": "(?=x)y"},
                    "b": {"type": "string", "pattern": "x"},
                },
            },
        }
    }
    result = render(template, tools=[tool])
    assert any("pattern" in warning for warning in result["warnings"])
    with pytest.raises(InvalidRequest):
        template.parse("<|tool_call>call:g{", False, json.dumps({**result, "parser": "{"}))
    with pytest.raises(TemplateError):
        ChatTemplate("{{")
    assert capfd.readouterr() == ("", "")
