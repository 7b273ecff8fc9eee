"""Request smuggling: one piece of text that two programs in a row could take for different requests.

``PAYLOADS`` hold a second request, ``SMUGGLED``, in what is the body of the first one by one way of reading. What must
never happen, directly or through a proxy: that the upstream sees it, or that there is an answer too many, which a proxy
would give to somebody else.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from llmgate.daemon import http
from tests.attacks.cases import Attack, repelled
from tests.fakes import FakeOllama
from tests.gateway.harness import Running

NEVER = "smuggled-words"
"""What the hidden request asks."""
SECONDS = 5.0
"""Longest wait for an answer."""
SILENCE = 0.3
"""What has not come by then, after the last request, is not waited for: the server may wait for more of a body."""
LAST = b"GET /last-words HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent at the end: behind its answer there is none to come."""


KEY = b"@" * 54
"""In the place of an API key, which is as long: where a body ends is written in the payloads."""
HOST = b"Host: localhost"
CREDENTIAL = b"Authorization: Bearer " + KEY


def asking(words: str) -> bytes:
    """A body that the upstream answers."""
    question = {"role": "user", "content": words}
    return json.dumps({"model": "llama3.2", "messages": [question], "stream": False}).encode()


def request(*headers: bytes, body: bytes = b"", start: bytes = b"POST /api/chat HTTP/1.1") -> bytes:
    """A request with a credential, these headers and, as it stands, this body."""
    return b"\r\n".join([start, HOST, CREDENTIAL, *headers, b"", b""]) + body


OUTER = asking("outer-words")
SMUGGLED = request(b"Content-Length: %d" % len(asking(NEVER)), body=asking(NEVER))
"""Complete and valid by itself."""
CHUNKED = b"Transfer-Encoding: chunked"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def length(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


@dataclass(frozen=True, slots=True)
class Payload:
    """What is sent over one connection. ``then`` is sent when the first answer is there.

    ``served`` tells whether the first request is a good one, and is served by the gateway itself; all others are
    refused. A proxy may read more, or less, as long as it never lets the hidden one through.
    """

    name: str
    data: bytes
    then: bytes = b""
    served: bool = False

    def text(self, key: str) -> tuple[bytes, bytes]:
        """Both parts, with this API key."""
        assert len(key) == len(KEY)
        return self.data.replace(KEY, key.encode()), self.then.replace(KEY, key.encode())

    def __repr__(self) -> str:
        return f"<payload: {self.name}>"


def _two_lengths() -> Iterator[Payload]:
    """CL.TE, TE.CL, TE.TE: the body ends at the last chunk, or after so many bytes."""
    chunks = chunk(OUTER) + b"0\r\n\r\n" + SMUGGLED
    inside = chunk(OUTER + SMUGGLED) + b"0\r\n\r\n"
    yield Payload("cl.te", request(length(chunks), CHUNKED, body=chunks))
    yield Payload("te.cl", request(CHUNKED, b"Content-Length: 4", body=inside))
    obfuscated = {
        "unknown coding": b"Transfer-Encoding: xchunked",
        "space before the colon": b"Transfer-Encoding : chunked",
        "tab before the colon": b"Transfer-Encoding\t: chunked",
        "two codings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
        "the same twice": CHUNKED + b"\r\n" + CHUNKED,
        "tab": b"Transfer-Encoding:\tchunked",
        "space before the name": b" Transfer-Encoding: chunked",
        "bare line feed before it": b"X: X\nTransfer-Encoding: chunked",
        "bare carriage return before it": b"X: X\rTransfer-Encoding: chunked",
        "name over two lines": b"Transfer-Encoding\r\n : chunked",
        "value on the next line": b"Transfer-Encoding:\r\n chunked",
        "folded": b"Transfer-Encoding: chunked\r\n\t, identity",
        "chunked first": b"Transfer-Encoding: chunked, identity",
        "chunked last": b"Transfer-Encoding: identity, chunked",
        "compressed": b"Transfer-Encoding: gzip, chunked",
        "vertical tab": b"Transfer-Encoding: \x0bchunked",
        "NUL in it": b"Transfer-Encoding: chun\x00ked",
        "NUL behind it": b"Transfer-Encoding: chunked\x00",
        "high byte": b"Transfer-Encoding: \xa0chunked",
        "quoted": b'Transfer-Encoding: "chunked"',
        "with a parameter": b"Transfer-Encoding: chunked;q=1",
        "with a comma": b"Transfer-Encoding: ,chunked",
        "underscore": b"Transfer_Encoding: chunked",
        "empty": b"Transfer-Encoding:",
        "identity": b"Transfer-Encoding: identity",
    }
    for name, line in obfuscated.items():
        yield Payload(f"te.te: {name}", request(length(chunks), line, body=chunks))
    for name in ("compressed", "chunked last", "high byte", "with a comma", "unknown coding"):
        yield Payload(f"te alone: {name}", request(obfuscated[name], body=chunks))
    old = b"POST /api/chat HTTP/1.0"
    yield Payload("te in HTTP/1.0", request(CHUNKED, body=chunks, start=old))


def _odd_lengths() -> Iterator[Payload]:
    body = OUTER + SMUGGLED
    short, whole = len(OUTER), len(body)
    lines = {
        "two": b"Content-Length: %d\r\nContent-Length: %d" % (short, whole),
        "the same twice": b"Content-Length: %d\r\nContent-Length: %d" % (short, short),
        "list": b"Content-Length: %d, %d" % (short, short),
        "plus": b"Content-Length: +%d" % short,
        "minus": b"Content-Length: -1",
        "hexadecimal": b"Content-Length: 0x%x" % short,
        "digits with a space": b"Content-Length: %d %d" % (short, short),
        "digits with an underscore": b"Content-Length: 1_0",
        "too large": b"Content-Length: %d" % (2**64 + short),
        "empty": b"Content-Length:",
        "space before the colon": b"Content-Length : %d" % short,
        "NUL": b"Content-Length: %d\x00" % short,
        "underscore beside it": b"Content-Length: %d\r\nContent_Length: %d" % (short, whole),
        "fraction": b"Content-Length: %d.0" % short,
    }
    for name, line in lines.items():
        yield Payload(f"cl: {name}", request(line, body=body))


def _odd_chunks() -> Iterator[Payload]:
    end = b"0\r\n\r\n" + SMUGGLED
    size, whole = b"%x" % len(OUTER), chunk(OUTER)
    bodies = {
        "bare line feeds": size + b"\n" + OUTER + b"\n0\n\n" + SMUGGLED,
        "line feed in an extension": size + b";a\nb\r\n" + OUTER + b"\r\n" + end,
        "carriage return in an extension": size + b";a\rb\r\n" + OUTER + b"\r\n" + end,
        "prefix": b"0x" + size + b"\r\n" + OUTER + b"\r\n" + end,
        "minus": b"-" + size + b"\r\n" + OUTER + b"\r\n" + end,
        "plus": b"+" + size + b"\r\n" + OUTER + b"\r\n" + end,
        "underscore": b"1_0\r\n" + OUTER + b"\r\n" + end,
        "space behind": size + b" \r\n" + OUTER + b"\r\n" + end,
        "space before": b" " + size + b"\r\n" + OUTER + b"\r\n" + end,
        "overflow": b"1" + b"0" * 16 + size + b"\r\n" + OUTER + b"\r\n" + end,
        "no end": size + b"\r\n" + OUTER + end,
        "two other bytes as its end": size + b"\r\n" + OUTER + b"xx" + end,
        "a size too small": b"%x\r\n" % (len(OUTER) - 1) + OUTER + b"\r\n" + end,
        "no size": b"\r\n" + OUTER + b"\r\n" + end,
        "trailer with a length": whole + b"0\r\nContent-Length: 400\r\n\r\n" + SMUGGLED,
        "trailer with a coding": whole + b"0\r\nTransfer-Encoding: identity\r\n\r\n" + SMUGGLED,
        "trailer with an address": whole + b"0\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
        "bare line feed after the last": whole + b"0\r\n\n" + SMUGGLED,
    }
    for name, body in bodies.items():
        yield Payload(f"chunk: {name}", request(CHUNKED, body=body))


def _odd_heads() -> Iterator[Payload]:
    body = OUTER + SMUGGLED
    good = length(body)
    yield Payload("bare line feeds", request(length(OUTER)).replace(b"\r\n", b"\n") + OUTER + SMUGGLED)
    yield Payload("folded header", request(b"X: a\r\n b", good, body=body))
    yield Payload("NUL in a name", request(b"X\x00Y: a", good, body=body))
    yield Payload("NUL in a value", request(b"X: a\x00b", good, body=body))
    yield Payload("space in a name", request(b"Content Length: 0", good, body=body))
    yield Payload("line without a colon", request(b"Content-Length", good, body=body))
    yield Payload("two hosts", request(b"Host: other.example", length(OUTER), body=OUTER))
    yield Payload("no host", request(length(OUTER), body=OUTER).replace(HOST + b"\r\n", b""))
    yield Payload("host with a path", request(length(OUTER), body=OUTER).replace(HOST, b"Host: a/b"))
    yield Payload("host with a user", request(length(OUTER), body=OUTER).replace(HOST, b"Host: a@b"))
    yield Payload("empty host", request(length(OUTER), body=OUTER).replace(HOST, b"Host: "))
    starts = {
        "absolute target": b"POST http://other.example/api/chat HTTP/1.1",
        "target without a slash": b"POST api/chat HTTP/1.1",
        "space in the target": b"POST /api/chat ?x HTTP/1.1",
        "tab in the start line": b"POST\t/api/chat\tHTTP/1.1",
        "HTTP/2.0": b"POST /api/chat HTTP/2.0",
        "HTTP/0.9 by name": b"POST /api/chat HTTP/0.9",
        "HTTP/1.2": b"POST /api/chat HTTP/1.2",
        "no version": b"POST /api/chat",
        "lower-case version": b"POST /api/chat http/1.1",
        "tunnel": b"CONNECT /api/chat HTTP/1.1",
        "tunnel to another": b"CONNECT other.example:443 HTTP/1.1",
    }
    for name, start in starts.items():
        yield Payload(f"start: {name}", request(length(OUTER), body=OUTER + SMUGGLED, start=start))
    yield Payload("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED)
    yield Payload("Expect of something else", request(b"Expect: 200-ok", good, body=body))
    yield Payload("WebSocket with a body", _websocket(b"/gate/ws", length(SMUGGLED)), SMUGGLED)


def _websocket(path: bytes, *headers: bytes) -> bytes:
    wishes = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13")
    return request(*wishes, b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", *headers, start=b"GET %b HTTP/1.1" % path)


def _bodies_that_are_read_as_such() -> Iterator[Payload]:
    """Good first requests, whose body looks like a request."""
    nobody = request(length(SMUGGLED)).replace(CREDENTIAL + b"\r\n", b"")
    health = b"GET /health/live HTTP/1.1"
    yield Payload("body of a refused request", nobody + SMUGGLED, served=True)
    yield Payload("body of a refused request, later", nobody, SMUGGLED, served=True)
    yield Payload("body of a GET", request(length(SMUGGLED), body=SMUGGLED, start=health), served=True)
    yield Payload(
        "body of a HEAD", request(length(SMUGGLED), body=SMUGGLED, start=b"HEAD /health/live HTTP/1.1"), served=True
    )
    yield Payload("body of a GET, later", request(length(SMUGGLED), start=health), SMUGGLED, served=True)
    yield Payload(
        "body behind a wish for HTTP/2", wishing_for_http2(length(SMUGGLED), start=health), SMUGGLED, served=True
    )
    chunks = chunk(SMUGGLED) + b"0\r\n\r\n"
    yield Payload("chunks behind a wish for HTTP/2", wishing_for_http2(CHUNKED, start=health), chunks, served=True)
    path = _websocket(b"/health/live", length(SMUGGLED))
    yield Payload("body behind a wish for a WebSocket", path, SMUGGLED, served=True)
    yield Payload(
        "body after a word that was not waited for",
        request(b"Expect: 100-continue", length(OUTER), body=OUTER),
        served=True,
    )
    word = nobody.replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length")
    yield Payload("a request where a body was announced", word, SMUGGLED + SMUGGLED, served=True)
    broken = nobody.replace(length(SMUGGLED), CHUNKED)
    yield Payload("broken chunks after the answer", broken, b"x\r\n" + SMUGGLED, served=True)
    ended = request(length(OUTER), b"Connection: close", body=OUTER + SMUGGLED)
    yield Payload("behind a request that is the last", ended, served=True)
    extension = b"%x;name=value\r\n%b\r\n0\r\n\r\n" % (len(OUTER), OUTER)
    yield Payload("chunk with an extension", request(CHUNKED, body=extension), served=True)


def wishing_for_http2(*headers: bytes, start: bytes) -> bytes:
    wishes = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    return request(*wishes, *headers, start=start)


PAYLOADS: tuple[Payload, ...] = (
    *_two_lengths(),
    *_odd_lengths(),
    *_odd_chunks(),
    *_odd_heads(),
    *_bodies_that_are_read_as_such(),
)


# Trying them


@dataclass(frozen=True, slots=True)
class Site:
    """A gateway and the upstream behind it, which is the witness."""

    gateway: Running
    upstream: FakeOllama


Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def conversation(line: Line, first: bytes, then: bytes = b"") -> bytes:
    """All that comes back over this connection until the other side closes it, but for the answer to ``LAST``."""
    reader, writer = line
    heard = bytearray()
    try:
        writer.write(first)
        async with asyncio.timeout(SECONDS):
            heard += await reader.read(65_536)
        if then:
            writer.write(then)
            await asyncio.sleep(0.02)  # else it would come together with the last words
        writer.write(LAST)
        async with asyncio.timeout(SILENCE if heard else SECONDS):
            while part := await reader.read(65_536):
                heard += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return bytes(heard)


async def connected(url: str) -> Line:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


def answers(heard: bytes) -> list[int]:
    """The status of every final answer in it, but for the last words."""
    found = [int(status) for status in re.findall(rb"HTTP/1\.[01] ([2-5][0-9]{2}) ", heard)]
    return found[:-1] if b"/last-words" in heard else found


async def smuggle(site: Site, payload: Payload) -> list[int]:
    """Send it and see that nothing comes of it. Returns the statuses of the answers."""
    seen = len(site.upstream.requests)
    first, then = payload.text(site.gateway.key)
    heard = await conversation(await connected(site.gateway.url), first, then)
    came = [one.body for one in site.upstream.requests[seen:]]
    repelled(not any(NEVER.encode() in body for body in came), f"{payload.name}: the upstream has seen the hidden one")
    repelled(len(came) <= payload.served, f"{payload.name}: the upstream has seen {len(came)} requests")
    statuses = answers(heard)
    repelled(len(statuses) <= 1, f"{payload.name}: {statuses}")
    if not payload.served:
        repelled(all(status >= 400 for status in statuses), f"{payload.name}: served with {statuses}")
    return statuses


def _named(name: str) -> Payload:
    return next(payload for payload in PAYLOADS if payload.name == name)


def _attack(name: str, control: str, switch_off: Callable[[pytest.MonkeyPatch], None]) -> Attack[Site]:
    async def run(site: Site) -> None:
        await smuggle(site, _named(name))

    return Attack(name, run, switch_off, control)


def _any_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "check_head", lambda *_: None)


def _lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser takes all that it can be made to take, and nobody looks after it."""
    _any_head(monkeypatch)
    init = http.GatewayProtocol.__init__

    def lenient(self: http.GatewayProtocol, *args: object, **options: object) -> None:
        init(self, *args, **options)  # type: ignore[arg-type]
        self.parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_transfer_encoding=True,
            lenient_version=True,
            lenient_optional_lf_after_cr=True,
            lenient_optional_cr_before_lf=True,
            lenient_optional_crlf_after_chunk=True,
            lenient_spaces_after_chunk_size=True,
        )

    monkeypatch.setattr(http.GatewayProtocol, "__init__", lenient)


def _upgrades_blindly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.GatewayProtocol, "_upgrade", lambda *_: None)
    monkeypatch.setattr(http.GatewayProtocol, "on_message_complete", _complete)


def _complete(self: http.GatewayProtocol) -> None:
    self._in_body = False
    self._stop_waiting()
    super(http.GatewayProtocol, self).on_message_complete()


def _trailers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.GatewayProtocol, "on_header", super(http.GatewayProtocol, http.GatewayProtocol).on_header)


def _answers_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def turn_away(self: http.GatewayProtocol, _: object) -> None:
        self.send_400_response("Invalid HTTP request received.")

    monkeypatch.setattr(http.GatewayProtocol, "_turn_away", turn_away)


async def _credential_behind_the_body(site: Site) -> None:
    head = request(CHUNKED).replace(CREDENTIAL + b"\r\n", b"")
    trailer = b"0\r\n" + CREDENTIAL + b"\r\n\r\n"
    await smuggle(site, Payload("credential behind the body", head + chunk(OUTER) + trailer))


ATTACKS: list[Attack[Site]] = [
    _attack("cl.te", "the parser's strictness, and check_head", _lenient),
    _attack("bare line feeds", "the parser's strictness", _lenient),
    _attack("chunk: space behind", "the parser's strictness", _lenient),
    _attack("chunk: no end", "the parser's strictness", _lenient),
    _attack("te in HTTP/1.0", "check_head", _any_head),
    _attack("te alone: compressed", "check_head", _any_head),
    _attack("two hosts", "check_head", _any_head),
    _attack("no host", "check_head", _any_head),
    _attack("host with a user", "check_head", _any_head),
    _attack("start: absolute target", "check_head", _any_head),
    _attack("start: HTTP/2.0", "check_head", _any_head),
    _attack("cl: underscore beside it", "check_head", _any_head),
    _attack("body behind a wish for HTTP/2", "GatewayProtocol._upgrade", _upgrades_blindly),
    _attack("broken chunks after the answer", "GatewayProtocol._turn_away", _answers_again),
    Attack("credential behind the body", _credential_behind_the_body, _trailers, "GatewayProtocol.on_header"),
]
