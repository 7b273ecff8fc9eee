"""Where a credential stands in the headers, and when a cookie may change something."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.config import ServerSettings
from llmgate.daemon.auth import credentials
from llmgate.errors import AuthenticationFailed

Header = tuple[bytes, bytes]

PLACEHOLDERS = frozenset({b"ollama", b"none", b"EMPTY"})
COOKIE = b"__Host-llmgate"


def _extract(*headers: Header) -> tuple[bytes | None, bool]:
    return credentials.extract(headers, placeholders=PLACEHOLDERS, cookie=COOKIE)


def _bearer(secret: str) -> Header:
    return b"authorization", b"Bearer " + secret.encode()


def _api_key(secret: str) -> Header:
    return b"x-api-key", secret.encode()


def _cookie(value: str) -> Header:
    return b"cookie", value.encode()


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], (None, False)),
        ([(b"host", b"x"), (b"content-type", b"application/json")], (None, False)),
        ([_bearer("a")], (b"a", False)),
        ([(b"authorization", b"bEARER   a  ")], (b"a", False)),
        ([_api_key(" a ")], (b"a", False)),
        ([_bearer("a"), _api_key("a"), _bearer("a")], (b"a", False)),
        ([_bearer("ollama")], (None, False)),
        ([_bearer("ollama"), _api_key("none")], (None, False)),
        ([_bearer("ollama"), _api_key("a")], (b"a", False)),
        ([_bearer("Ollama")], (b"Ollama", False)),
        ([_bearer("")], (b"", False)),
        ([_api_key("")], (b"", False)),
        ([_cookie("__Host-llmgate=a")], (b"a", True)),
        ([_cookie("x=1; __Host-llmgate=a=b ;y=2")], (b"a=b", True)),
        ([_cookie("x=1"), _cookie("__Host-llmgate=a")], (b"a", True)),
        ([_cookie("__Host-llmgate=a"), _cookie("__Host-llmgate=a")], (b"a", True)),
        ([_cookie("llmgate=a; x__Host-llmgate=b; __host-llmgate=c")], (None, False)),
        ([_cookie("__Host-llmgate=a"), _bearer("ollama")], (b"a", True)),
        ([_cookie("__Host-llmgate=a"), _bearer("b")], (b"b", False)),
    ],
)
def test_a_header_goes_before_the_cookie_and_a_placeholder_counts_as_none(
    headers: list[Header], found: tuple[bytes | None, bool]
) -> None:
    assert _extract(*headers) == found
    assert _extract(*headers[::-1]) == found


@pytest.mark.parametrize(
    "headers",
    [
        [_bearer("a"), _api_key("b")],
        [_bearer("a"), _bearer("b")],
        [_cookie("__Host-llmgate=a; __Host-llmgate=b")],
        [(b"authorization", b"Basic YTpi")],
        [(b"authorization", b"")],
        [(b"authorization", b"ollama")],
        [(b"authorization", b"Digest x"), _api_key("a")],
        [_bearer("x" * 2049)],
        [_api_key("x" * 2049)],
        [_cookie("__Host-llmgate=" + "x" * 2049)],
    ],
)
def test_two_different_credentials_other_schemes_and_long_ones_are_refused(headers: list[Header]) -> None:
    with pytest.raises(AuthenticationFailed) as caught:
        _extract(*headers)
    assert caught.value.text() == credentials.refused().text()


@given(
    st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"cookie", b"host"]), st.binary(max_size=40)))
)
def test_no_headers_lead_to_another_error(headers: list[Header]) -> None:
    try:
        secret, is_cookie = _extract(*headers)
    except AuthenticationFailed:
        return
    assert secret is not None or not is_cookie


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([], False),
        ([(b"sec-fetch-site", b"same-origin")], True),
        ([(b"sec-fetch-site", b"none")], True),
        ([(b"sec-fetch-site", b"same-site")], False),
        ([(b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example")], False),
        ([(b"origin", b"https://gate.example")], True),
        ([(b"origin", b"https://GATE.example")], True),
        ([(b"origin", b"http://gate.example")], False),
        ([(b"origin", b"https://gate.example.evil.example")], False),
        ([(b"origin", b"https://gate.example:8443")], False),
        ([(b"origin", b"null")], False),
        ([(b"origin", b"\xff")], False),
        ([(b"referer", b"https://gate.example/")], False),
    ],
)
def test_only_our_own_page_may_change_something_with_a_cookie(headers: list[Header], allowed: bool) -> None:
    origin = credentials.public_origin(ServerSettings(public_url="https://Gate.Example/llm/"))
    for method in ("POST", "PUT", "PATCH", "DELETE", "post", "X"):
        assert credentials.may_change_state(headers, method, origin) is allowed
    for method in ("GET", "HEAD", "OPTIONS"):
        assert credentials.may_change_state(headers, method, origin)


@pytest.mark.parametrize(
    ("server", "name"),
    [
        (ServerSettings(), "llmgate"),
        (ServerSettings(host="::"), "llmgate"),
        (ServerSettings(host="192.168.1.5"), "__Host-llmgate"),
        (ServerSettings(public_url="http://localhost:8080"), "llmgate"),
        (ServerSettings(public_url="http://gate.lan"), "__Host-llmgate"),
        (ServerSettings(public_url="http://gate.lan", allow_insecure_cookies=True), "llmgate"),
        (ServerSettings(allow_insecure_cookies=True), "llmgate"),
        (ServerSettings(public_url="https://gate.lan", allow_insecure_cookies=True), "__Host-llmgate"),
    ],
)
def test_a_plain_cookie_is_for_plain_http_that_is_allowed_or_stays_here(server: ServerSettings, name: str) -> None:
    assert credentials.cookie_name(server) == name


def test_without_a_public_url_the_origin_is_where_we_listen() -> None:
    assert credentials.public_origin(ServerSettings()) == "http://127.0.0.1:11435"
    assert credentials.public_origin(ServerSettings(host="::1", port=80)) == "http://[::1]:80"


def test_a_browser_leaves_the_usual_port_out() -> None:
    for url in ("https://Gate.lan:443/ai", "https://gate.lan"):
        assert credentials.public_origin(ServerSettings(public_url=url)) == "https://gate.lan"
    assert credentials.public_origin(ServerSettings(public_url="http://gate.lan:80")) == "http://gate.lan"
    assert credentials.public_origin(ServerSettings(public_url="http://gate.lan:443")) == "http://gate.lan:443"


@pytest.mark.parametrize(
    ("server", "origin", "host", "allowed"),
    [
        ({}, "http://localhost:11435", "localhost:11435", True),
        ({}, "http://[::1]:11435", "[::1]:11435", True),
        ({}, "http://127.0.0.1:5173", "127.0.0.1:5173", True),  # the port of a tunnel: the page came from there
        ({"public_url": "http://localhost:8080"}, "http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ({"host": "::"}, "http://127.0.0.1:11435", "127.0.0.1:11435", True),
        ({}, "http://127.0.0.1:3000", "127.0.0.1:11435", False),
        ({}, "http://localhost:11435", "127.0.0.1:11435", False),
        ({}, "http://evil.example:11435", "evil.example:11435", False),  # a name that now means 127.0.0.1
        ({}, "http://127.0.0.1.evil.example", "127.0.0.1.evil.example", False),
        ({}, "https://localhost:11435", "localhost:11435", False),
        ({"host": "192.168.1.5"}, "http://127.0.0.1:11435", "127.0.0.1:11435", False),
        ({"public_url": "https://gate.example"}, "http://127.0.0.1:11435", "127.0.0.1:11435", False),
        ({"public_url": "http://gate.lan"}, "http://127.0.0.1:11435", "127.0.0.1:11435", False),
    ],
)
def test_this_machine_has_several_names(server: dict[str, Any], origin: str, host: str, allowed: bool) -> None:
    ours = credentials.public_origin(ServerSettings(**server))
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert credentials.may_change_state(headers, "POST", ours) is allowed
    assert credentials.is_foreign_page(headers, "POST", ours) is not allowed
    assert credentials.may_change_state([(b"origin", origin.encode())], "POST", ours) is False
