"""``OLLAMA_HOST`` in all its forms."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyollama.errors import InvalidRequest
from pyollama.settings import ServerAddress


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://:1234"),
        (":0", "http://:0"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com:1234", "http://example.com:1234"),
        ("example.com", "http://example.com:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::]", "http://[::]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("0:0:0:0:0:0:0:1", "http://[::1]:11434"),
        ("[fe80::1%eth0]:1", "http://[fe80::1%eth0]:1"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("HTTPS://1.2.3.4", "https://1.2.3.4:443"),
        ("http://", "http://127.0.0.1:80"),
        ("http://:8080", "http://:8080"),
        ("https://[::1]/x", "https://[::1]:443/x"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com/a/b/", "https://example.com:443/a/b"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        ("http://example.com/", "http://example.com:80"),
        ("/ollama", "http://127.0.0.1:11434/ollama"),
        ("ollama.com", "https://ollama.com:443"),
        ("ollama.com:1234", "http://ollama.com:1234"),
        ("http://ollama.com", "http://ollama.com:80"),
        (' "1.2.3.4" ', "http://1.2.3.4:11434"),
        ("' 1.2.3.4 '", "http://1.2.3.4:11434"),
        ("my_host.local", "http://my_host.local:11434"),
        ("b\u00fccher.example", "http://b\u00fccher.example:11434"),
    ],
)
def test_parse(text: str, written: str, caplog: pytest.LogCaptureFixture) -> None:
    """Catches a port, a scheme or a path that is lost, and a server that listens somewhere else."""
    assert str(ServerAddress.parse(text)) == written
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("1.2.3.4:99999", "http://1.2.3.4:11434"),
        ("example.com:66000", "http://example.com:11434"),
        ("1.2.3.4:-1", "http://1.2.3.4:11434"),
        ("1.2.3.4:abc", "http://1.2.3.4:11434"),
        ("1.2.3.4:", "http://1.2.3.4:11434"),
        ("1.2.3.4:\u0661", "http://1.2.3.4:11434"),
        ("1.2.3.4:" + "1" * 5000, "http://1.2.3.4:11434"),
        (":", "http://:11434"),
        ("http://1.2.3.4:x", "http://1.2.3.4:80"),
        ("https://[::1]:70000/p", "https://[::1]:443/p"),
    ],
)
def test_port_that_is_none(text: str, written: str, caplog: pytest.LogCaptureFixture) -> None:
    """Catches an end where the usual port would do, and a replacement that nobody is told."""
    assert str(ServerAddress.parse(text)) == written
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "must be a number from 0 to 65535" in caplog.text
    assert len(caplog.text) < 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://1.2.3.4", "the scheme of the address 'ftp://1.2.3.4' must be http or https"),
        ("://1.2.3.4", "the scheme of the address '://1.2.3.4' must be http or https"),
        ("a b", "the host of the address 'a b' is not valid: 'a b'"),
        ("user@host", "the host of the address 'user@host' is not valid: 'user@host'"),
        ("1:2:3", "the host of the address '1:2:3' is not valid: '1:2'"),
        ("[nonsense]:1", "the host of the address '[nonsense]:1' is not valid"),
        ("host\r\nX: y", "the host of the address 'host\\r\\nX: y' is not valid"),
        ("host/a?b", "the path of the address 'host/a?b' must not have '?'"),
        ("host/a b", "the path of the address 'host/a b' must not have ' '"),
        ("host/\r\nX:y", "must not have '\\r'"),
    ],
)
def test_refused(text: str, message: str) -> None:
    """Catches headers smuggled into requests, and a typing error that is only found when nothing connects."""
    with pytest.raises(InvalidRequest) as caught:
        ServerAddress.parse(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "url", "bind_host", "is_loopback"),
    [
        ("", "http://127.0.0.1:11434", "127.0.0.1", True),
        ("127.8.9.10", "http://127.8.9.10:11434", "127.8.9.10", True),
        ("localhost", "http://localhost:11434", "localhost", True),
        ("LOCALHOST:1", "http://LOCALHOST:1", "LOCALHOST", True),
        ("[::1]", "http://[::1]:11434", "::1", True),
        ("0.0.0.0", "http://127.0.0.1:11434", "0.0.0.0", False),
        ("[::]:80", "http://[::1]:80", "::", False),
        (":1234", "http://127.0.0.1:1234", "", False),
        ("192.168.0.1", "http://192.168.0.1:11434", "192.168.0.1", False),
        ("localhost.example.com", "http://localhost.example.com:11434", "localhost.example.com", False),
        ("https://h/p", "https://h:443/p", "h", False),
    ],
)
def test_use(text: str, url: str, bind_host: str, is_loopback: bool) -> None:
    """Catches a client that connects to 0.0.0.0, and an open server taken for a private one."""
    address = ServerAddress.parse(text)
    assert (address.url, address.bind_host, address.is_loopback) == (url, bind_host, is_loopback)


@given(st.text(alphabet="0123456789abc.:[]/%@-_ \"'\r\n?#", max_size=20) | st.text(max_size=20))
def test_any_text(text: str) -> None:
    """Catches an exception that is no error of ours, and an address that does not read back as itself."""
    try:
        address = ServerAddress.parse(text)
    except InvalidRequest:
        return
    assert ServerAddress.parse(str(address)) == address
    assert not set(address.url) & set("\r\n \"'?#")
