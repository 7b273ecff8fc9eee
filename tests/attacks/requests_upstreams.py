"""Upstreams, and models to be loaded, with which the gateway would speak to what only it can reach."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from unittest import mock

import aiohappyeyeballs
import pytest

from llmgate import addresses, config
from llmgate.daemon import catalogue
from llmgate.daemon.store import upstreams
from llmgate.daemon.upstreams import connections, models
from llmgate.urls import is_base_url
from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, repelled

UPSTREAMS = "/admin/v1/upstreams"
PULLED = "/api/pull"
FORBIDDEN_URLS = (
    # where clouds hand out credentials
    *("http://169.254.169.254", "http://169.254.169.254/latest", "http://169.254.170.2", "https://169.254.169.254:443"),
    *("http://[fd00:ec2::254]", "http://[fd20:ce::254]", "http://100.100.100.200", "http://168.63.129.16"),
    *("http://192.0.0.192", "http://metadata.google.internal", "http://METADATA.google.INTERNAL."),
    *("http://metadata", "http://metadata.goog", "http://instance-data", "http://metadata.azure.internal"),
    # the same in other words
    *("http://2852039166", "http://0xa9fea9fe", "http://0xA9.0xFE.0xA9.0xFE", "http://0251.0376.0251.0376"),
    *("http://169.254.43518", "http://169.16689662", "http://0251.254.169.254", "http://169.254.169.254."),
    *("http://[::ffff:169.254.169.254]", "http://[::ffff:a9fe:a9fe]", "http://[0:0:0:0:0:ffff:a9fe:a9fe]"),
    *("http://[::169.254.169.254]", "http://[64:ff9b::169.254.169.254]", "http://[2002:a9fe:a9fe::]"),
    *("http://[::ffff:0:169.254.169.254]", "http://169.254.169.254%20", "http://169.254.169.254%00.example.com"),
    # the same behind a network's own NAT64, through Teredo (the client's, the server's) and ISATAP
    *("http://[64:ff9b:1::169.254.169.254]", "http://[64:ff9b:1:a9fe:a9:fe00::]", "http://[64:ff9b:1:a9:fe:a9fe::]"),
    *("http://[64:ff9b:1:7:a9:fea9:fe00::]", "http://[64:ff9b:1:ffff:ffff:ffff:a9fe:a9fe]"),
    *("http://[2001:0:102:304:0:ffff:5601:5601]", "http://[2001::a9fe:a9fe:0:ffff:f5ff:fffe]"),
    *(
        "http://[2001:db8::5efe:169.254.169.254]",
        "http://[2001:db8::200:5efe:a9fe:a9fe]",
        "http://[fd00::5efe:a9fe:a9fe]",
    ),
    # this machine, in words that programs read differently
    *("http://0x7f.1", "http://2130706433", "http://127.1", "http://0177.0.0.1", "http://127.0.0.1.", "http://0"),
    *("http://0.0.0.0", "http://0.0.0.0:11434", "http://[::]", "http://[::]:11434", "http://0.1.2.3"),
    # no machine, or many
    *("http://224.0.0.1", "http://239.255.255.250", "http://255.255.255.255", "http://240.0.0.1"),
    *("http://[ff02::1]", "http://[fe80::1]", "http://[fe80::1%25eth0]", "http://[fec0::1]"),
    # two hosts in one
    *("http://good@169.254.169.254", "http://good:pw@evil.example", "http://good.example\\@evil.example"),
    *("http://good.example#@evil.example", "http://good.example?@evil.example", "http://good.example%40evil.example"),
    *("http://good.example:80@evil.example", "http://good.example:80:90", "http://good.example /", "http:///a"),
    *("http://good.example\t.evil.example", "http://good.example\r\nHost: evil", "http:\\\\169.254.169.254"),
    # names that look like others
    *(
        "http://\u2460\u2461\u2466.0.0.1",
        "http://ⓔxample.com",
        "http://xn--.\u3002com",
        "http://127\u30020\u30020\u30021",
    ),
    *("http://exa\u00admple.com", "http://\uff11\uff12\uff17.0.0.1"),
    # not http
    *("file:///etc/passwd", "ftp://127.0.0.1", "gopher://127.0.0.1:11211", "unix:///run/docker.sock", "//127.0.0.1"),
    *("dict://127.0.0.1:6379", "ws://127.0.0.1", "127.0.0.1:11434", "javascript:alert(1)", ""),
)
FORBIDDEN_MODELS = (
    *("169.254.169.254/library/a", "http://169.254.169.254/library/a:latest", "https://metadata.google.internal/a/b"),
    *("[::ffff:169.254.169.254]/a/b", "0x7f.1/a/b", "2130706433/a/b", "0.0.0.0:80/a/b", "good@169.254.169.254/a/b"),
    *("fd00:ec2::254/a/b", "[fd00:ec2::254]:80/a/b", "169.254.169.254./a/b", "good.example\\@169.254.169.254/a/b"),
)
METADATA = "169.254.169.254"
AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]


def info(address: str, port: int = 80) -> AddressInfo:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return (family, socket.SOCK_STREAM, 6, "", (address, port))


@contextlib.contextmanager
def resolving(*found: str) -> Iterator[list[str]]:
    """For the time of the block every name means these addresses. Yields those that were connected to; nobody was
    really, as what is there is not for tests to touch."""
    tried: list[str] = []

    async def resolved(*_: Any, **__: Any) -> Sequence[AddressInfo]:
        return [info(address) for address in found]

    async def connected(addr_infos: Sequence[AddressInfo], **_: Any) -> socket.socket:
        tried.extend(str(one[4][0]) for one in addr_infos)
        raise ConnectionRefusedError

    with (
        mock.patch.object(asyncio.get_running_loop(), "getaddrinfo", resolved),
        mock.patch.object(aiohappyeyeballs, "start_connection", connected),
    ):
        yield tried


@contextlib.asynccontextmanager
async def added(site: Site, name: str, **settings: Any) -> AsyncIterator[Any]:
    """The answer to an administrator who adds an upstream; in the end it is gone."""
    answer = await site.admin.post(UPSTREAMS, json={"name": name, **settings})
    try:
        yield answer
    finally:
        if answer.status_code == 201:
            await site.admin.delete(f"{UPSTREAMS}/{name}", params={"force": "true"})


async def forbidden_urls(site: Site) -> None:
    with resolving(METADATA):
        for url in FORBIDDEN_URLS:
            async with added(site, "trap", url=url) as answer:
                repelled(answer.status_code == 400, f"{url} was taken")


async def changed_to_a_forbidden_url(site: Site) -> None:
    with resolving("10.0.0.1"):
        async with added(site, "moved", url="http://gpu.example"):
            for url in FORBIDDEN_URLS:
                answer = await site.admin.patch(f"{UPSTREAMS}/moved", json={"url": url})
                repelled(answer.status_code == 400, f"{url} was taken")


async def written_into_the_database(site: Site) -> None:
    services = site.gateway.services
    row = {"kind": "ollama", "slots": 1, "pool": None, "api_key_sealed": None, "connect_timeout": 1}
    row |= {"first_byte_timeout": 1, "idle_timeout": 1}
    with resolving(METADATA) as tried:
        async with services.database.begin() as tx:
            await upstreams.create(tx, name="written", url="http://169.254.169.254", **row)
        try:
            await services.upstreams_changed()
            await services.upstreams.refresh(["written"])
            names = {status.name for status in services.upstreams.status()}
            repelled("written" not in names, "an upstream with a forbidden URL is in use")
            repelled(not tried, f"{tried} were connected to")
        finally:
            async with services.database.begin() as tx:
                await upstreams.delete(tx, "written")
            await services.upstreams_changed()


async def a_name_that_means_the_metadata_service(site: Site) -> None:
    for meaning in ([METADATA], ["10.0.0.1", METADATA], ["fe80::1"], ["::ffff:169.254.169.254"], ["0.0.0.0"]):  # noqa: S104
        with resolving(*meaning) as tried:
            async with added(site, "named", url="http://harmless.example") as answer:
                assert answer.status_code == 201, answer.text
                await site.gateway.services.upstreams.refresh(["named"])
                repelled(not tried, f"{tried} were connected to")
                reason = (await site.admin.get(f"{UPSTREAMS}/named")).json()["reason"]
                assert "no upstream may have" in reason


async def the_gateway_itself(site: Site) -> None:
    async with added(site, "self", url=site.url, api_key=site.gateway.key) as answer:
        assert answer.status_code == 201, answer.text
        repelled(answer.json()["models"] == [], f"the gateway waits for itself: {answer.json()}")


async def models_from_a_forbidden_registry(site: Site) -> None:
    before = len(site.ollama.reads)
    for model in FORBIDDEN_MODELS:
        await site.admin.post(PULLED, json={"model": model, "stream": False})
        answer = await site.admin.post("/admin/v1/models/pull", json={"model": model})
        pulled = [seen.json for seen in site.ollama.reads[before:] if seen.path == PULLED]
        repelled(not pulled, f"the upstream was told to load {pulled}")
        assert answer.status_code == 400


def looks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "fault_of_upstream_url", lambda url: None if is_base_url(url) else "is no URL")


def nothing_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_FORBIDDEN", addresses._FORBIDDEN[:1])


ATTACKS = [
    Attack("forbidden addresses for an upstream", forbidden_urls, looks_only, "URLs are judged", Breached),
    Attack("a good upstream is moved there", changed_to_a_forbidden_url, looks_only, "URLs are judged", Breached),
    Attack("the same, without the networks", forbidden_urls, nothing_is_forbidden, "addresses are judged", Breached),
    Attack("written into the database", written_into_the_database, looks_only, "also from the database", Breached),
    Attack(
        "a name that means a forbidden address",
        a_name_that_means_the_metadata_service,
        lambda monkeypatch: monkeypatch.setattr(connections, "checked", lambda found: found),
        "what is connected to is judged",
        Breached,
    ),
    Attack(
        "the gateway as its own upstream",
        the_gateway_itself,
        lambda monkeypatch: monkeypatch.setattr(catalogue, "refuse_own", lambda headers: None),
        "a request that comes back is refused",
        Breached,
    ),
    Attack(
        "a model from a forbidden registry",
        models_from_a_forbidden_registry,
        lambda monkeypatch: monkeypatch.setattr(models, "_check_registry", lambda model: None),
        "registries are judged as upstreams are",
        Breached,
    ),
]
