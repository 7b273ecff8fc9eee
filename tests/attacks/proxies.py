"""Addresses that a client invents, in the headers by which proxies tell who asked them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from llmgate.daemon import services
from llmgate.daemon.auth.authenticator import Authenticator
from tests.admin.harness import Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import ELSEWHERE, WHITELISTED, status_as, whitelisted

MODELS = "/v1/models"


async def invented_hops(site: Site) -> None:
    """Whatever stands before the address that our proxy has seen: in one line or several, in every spelling."""
    good, real = WHITELISTED, ELSEWHERE
    chains: list[list[str]] = [
        [real], [f"{good}, {real}"], [good, real], [f"{good},{good}", f"{good},{real}"], [f"{good}:80, {real}:4711"],
        [f"[::ffff:{good}], {real}"], [f"{good}, , {real}"], [f"{good}, unknown, {real}"], [f",{good},,{real}"],
        [f'"{good}", {real}'], [f"{good} {real}"], [f"{good};{real}"], [f"{good}\t, {real}"], [f"{good}, _x, {real}"],
        [",".join([good] * 40 + [real])], [f"{good}%eth0, {real}"], [f"127.0.0.1, {good}, {real}"], [f"{good}/32"],
        [f"for={good}"],
    ]  # fmt: skip
    async with whitelisted(site):
        assert await status_as(site, {"x-forwarded-for": good}, MODELS) == 200
        for chain in chains:
            headers = [("x-forwarded-for", line) for line in chain]
            answer = await site.nobody.get(MODELS, headers=headers)
            repelled(answer.status_code == 401, f"{chain} was taken for {good}")


async def other_headers(site: Site) -> None:
    """Only one header is read, and that from the right. The others are for gateways that believe them."""
    names = (
        "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip", "x-cluster-client-ip", "x-remote-addr",
        "x-original-forwarded-for", "x-originating-ip", "x-forwarded", "forwarded-for", "client-ip", "x_forwarded_for",
    )  # fmt: skip
    async with whitelisted(site):
        for name in names:
            for value in (WHITELISTED, f"{WHITELISTED}, {WHITELISTED}", f"for={WHITELISTED}"):
                status = await status_as(site, {"x-forwarded-for": ELSEWHERE, name: value}, MODELS)
                repelled(status in (400, 401), f"{name}: {value} was believed")
        for forwarded in (f"for={WHITELISTED}", f'for="{WHITELISTED}";proto=https;by=127.0.0.1'):
            status = await status_as(site, {"x-forwarded-for": ELSEWHERE, "forwarded": forwarded}, MODELS)
            repelled(status == 401, f"Forwarded: {forwarded} was believed")


async def proxy_protocol(site: Site) -> None:
    """A line of the PROXY protocol before the request is no request."""
    port = int(site.url.rpartition(":")[2])
    async with whitelisted(site):
        for line in (
            f"PROXY TCP4 {WHITELISTED} 127.0.0.1 4711 80\r\n".encode(),
            b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([203, 0, 113, 9, 127, 0, 0, 1, 0, 80, 0, 80]),
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(line + f"GET {MODELS} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(10):
                answer = await reader.read()
            writer.close()
            repelled(b" 200 " not in answer.split(b"\r\n", 1)[0], "an address before the request was believed")


def leftmost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What many take: the first address of the list, whoever wrote it."""

    def first(peer: str, forwarded_for: Sequence[str], _trusted: object) -> str:
        told = [hop.strip().strip('"[]') for line in forwarded_for for hop in line.split(",") if hop.strip()]
        return told[0] if told else peer

    monkeypatch.setattr(services, "client_address", first)


def every_header_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the resolver knew more headers: the last address that any of them holds."""
    authenticate: Any = Authenticator.authenticate

    async def believing(self: Any, headers: Any, *, address: str, method: str) -> Any:
        told = [value.decode() for key, value in headers if key in (b"x-real-ip", b"forwarded")]
        found = told[-1].removeprefix("for=") if told else address
        return await authenticate(self, headers, address=found, method=method)

    monkeypatch.setattr(Authenticator, "authenticate", believing)


ATTACKS: list[Attack[Site]] = [
    Attack("invented hops", invented_hops, leftmost, "X-Forwarded-For is read from the right, through trusted proxies"),
    Attack("other headers", other_headers, every_header_is_read, "no other header is read"),
]
