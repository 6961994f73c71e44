"""TextStream: whatever the tokens are, a client sees whole characters and never a part of a stop string."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyollama.native.text_stream import TextStream

# Few characters of every length in UTF-8, so that stop strings are found and almost found.
LETTERS = "ab\n\0é漢🙂"
texts = st.text(LETTERS, max_size=30) | st.text(max_size=30)
stop_lists = st.lists(st.text(LETTERS, min_size=1, max_size=4), max_size=4)
# Valid and broken UTF-8: whole characters, their beginnings and ends, overlong forms, surrogates, anything.
fragments = st.sampled_from(
    [
        *(b"a", b"b", "é".encode(), "漢".encode(), "🙂".encode(), "\ufffd".encode()),
        *(b"\xc3", b"\xe6", b"\xe6\xbc", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x99", b"\x80", b"\xbf\xbf"),
        *(
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xf5",
            b"\xff",
            b"\xe0",
            b"\xed",
        ),
    ]
)
byte_strings = st.lists(fragments | st.binary(max_size=3), max_size=14).map(b"".join)
SETTINGS = settings(max_examples=400, deadline=None)


@st.composite
def pushes(draw, data: st.SearchStrategy[bytes]) -> list[bytes]:
    """Bytes in pieces, empty ones too."""
    whole = draw(data)
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def first_stop(text: str, stops: list[str]) -> tuple[int, str] | None:
    """Where the stop begins that is complete first, the longest of those, and its text."""
    found = [(text.find(stop) + len(stop), -len(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return None
    end, _, stop = min(found)
    return end - len(stop), stop


def expected(data: bytes, stops: list[str]) -> tuple[str, str]:
    """The whole output and the stop that was found, by Python's decoder."""
    text = data.decode(errors="replace")
    match = first_stop(text, stops)
    return (text[: match[0]], match[1]) if match else (text, "")


@given(pushes(texts.map(str.encode)), stop_lists)
@example([b"aa", b"b"], ["aab", "ab"])
@example([b"a", b"b", b"a", b"b", b"c"], ["ababc", "bab"])
@example([b"\xe6\xbc", b"\xa2"], ["漢"])
@example([b"ab"], [""])
@SETTINGS
def test_text(parts, stops):
    """Catches: lost or doubled text, a stop that depends on the pieces, or the wrong one of two stops."""
    stream = TextStream(stops)
    output = "".join([*map(stream.push, parts), stream.finish()])
    assert (output, stream.stop) == expected(b"".join(parts), stops)
    assert stream.stopped is bool(stream.stop)


@given(pushes(byte_strings), stop_lists | st.just(["\ufffd"]) | st.just(["a\ufffd\ufffd"]))
@example([b"\xe6", b"\xe6"], [])
@example([b"\xed", b"\xa0\x80"], [])
@example([b"a\xf0\x9f\x99"], ["\ufffd"])
@SETTINGS
def test_invalid_bytes(parts, stops):
    """Catches: another replacement of invalid bytes than Python's, or one that depends on the pieces."""
    stream = TextStream(stops)
    output = "".join([*map(stream.push, parts), stream.finish()])
    assert (output, stream.stop) == expected(b"".join(parts), stops)


@given(pushes(byte_strings), stop_lists)
@SETTINGS
def test_what_is_shown_and_when(parts, stops):
    """Catches: the beginning of a stop string that is shown, and text that is held back without need."""
    stream = TextStream(stops)
    shown, data = "", b""
    for part in parts:
        shown += stream.push(part)
        data += part
        text = complete_part(data)
        if match := first_stop(text, stops):
            assert (shown, stream.stopped, stream.stop) == (text[: match[0]], True, match[1])
        else:
            beginnings = (stop[:n] for stop in stops for n in range(len(stop)))
            held = max((len(beginning) for beginning in beginnings if text.endswith(beginning)), default=0)
            assert (shown, stream.stopped, stream.stop) == (text[: len(text) - held], False, "")


def complete_part(data: bytes) -> str:
    """The text without a character at its end that more bytes may complete."""
    for n in range(min(3, len(data)), 0, -1):
        tail = data[-n:]
        try:
            tail.decode()
        except UnicodeDecodeError as error:
            if error.start == 0 and error.reason == "unexpected end of data":
                return data[:-n].decode(errors="replace")
    return data.decode(errors="replace")


@given(byte_strings, stop_lists)
@SETTINGS
def test_byte_by_byte(data, stops):
    """Catches: a state that is lost between two bytes of one character."""
    stream = TextStream(stops)
    output = "".join([*(stream.push(data[i : i + 1]) for i in range(len(data))), stream.finish()])
    assert (output, stream.stop) == expected(data, stops)


@given(pushes(byte_strings), stop_lists, byte_strings)
@SETTINGS
def test_nothing_after_the_stop(parts, stops, more):
    """Catches: text after a stop string, and a finish that gives what was held a second time."""
    stream = TextStream(stops)
    for part in parts:
        stream.push(part)
    if stream.stopped:
        found = stream.stop
        assert (stream.push(more), stream.finish(), stream.stop, stream.stopped) == ("", "", found, True)
    else:
        stream.finish()
    assert stream.finish() == ""


def test_stops_that_overlap():
    """Catches: a preference that depends on the order in which the stops were given."""
    for stops in (["END", "ND now", "EN"], ["EN", "ND now", "END"]):
        stream = TextStream(stops)
        assert (stream.push(b"one END now"), stream.stop) == ("one ", "EN")
    for stops in (["cd", "abcd", "bcd"], ["abcd", "bcd", "cd"]):
        stream = TextStream(stops)
        assert (stream.push(b"_abcd_"), stream.stop) == ("_", "abcd")


def test_no_stops_hold_nothing():
    """Catches: a stream without stop strings that is behind."""
    stream = TextStream()
    assert [stream.push(bytes([byte])) for byte in "é!".encode()] == ["", "é", "!"]
    assert (stream.finish(), stream.stopped, stream.stop) == ("", False, "")


@pytest.mark.parametrize("n_stops", [1, 64])
def test_long_text(n_stops):
    """Catches: work that grows with all that was written so far."""
    stream = TextStream(["a" * 1000 + str(number) for number in range(n_stops)])
    shown = sum(len(stream.push(b"a" * 100)) for _ in range(200))
    assert shown + len(stream.finish()) == 20_000


def test_stop_that_is_no_text():
    """Catches: a lone surrogate that becomes other bytes rather than an error."""
    with pytest.raises(ValueError, match="surrogate"):
        TextStream(["\ud800"])
