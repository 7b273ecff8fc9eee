"""deploy/nginx.conf, driven: what an operator copies does what docs/deployment.md says of it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from llmgate.config import ServerSettings
from llmgate.daemon.store import whitelist
from tests.chat.harness import Page, log_in
from tests.deploy.daemons import Stub, says, stub
from tests.deploy.nginx import NAME, Front, nginx_before
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for
from tests.services.ports import free_ports

Fronted = tuple[Front, Running]


@asynccontextmanager
async def fronted(folder: Path, fake: FakeOllama) -> AsyncIterator[Fronted]:
    """A gateway behind nginx, with the settings that the head of nginx.conf asks for."""
    server = ServerSettings(
        port=0, drain_seconds=5, trusted_proxies=["127.0.0.1/32"], public_url=f"https://{NAME}", max_body_bytes=65_536
    )
    async with (
        run_gateway(settings_for(folder / "state", [upstream_for(fake)], server=server)) as gateway,
        nginx_before(folder / "nginx", [gateway.url]) as front,
    ):
        yield front, gateway


@pytest.fixture
async def ollama() -> AsyncIterator[FakeOllama]:
    async with FakeOllama() as fake:
        yield fake


def key_of(gateway: Running) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.key}"}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_tls_and_what_comes_without_it(tmp_path: Path, ollama: FakeOllama) -> None:
    async with fronted(tmp_path, ollama) as (front, gateway):
        async with front.client(headers=key_of(gateway)) as client:
            answer = await client.get("/api/version")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            assert answer.headers["server"] == "nginx"  # and not which version
            assert (await client.get("/metrics")).status_code == 404
            assert (await client.get("/health/ready")).status_code == 200
        plain = f"http://{NAME}:{front.plain_port}"
        async with httpx.AsyncClient(base_url=plain, trust_env=False, headers=key_of(gateway)) as client:
            page = await client.get("/")
            assert (page.status_code, page.headers["location"]) == (301, f"https://{NAME}/")
            # What certbot puts there is found over plain http, by who gives out certificates.
            proofs = front.folder / "www" / ".well-known" / "acme-challenge"
            proofs.mkdir(parents=True)
            (proofs / "token").write_text("token.thumbprint", encoding="utf-8")
            assert (await client.get("/.well-known/acme-challenge/token")).text == "token.thumbprint"
            assert (await client.get("/.well-known/acme-challenge/other")).status_code == 404
            assert (await client.post("/api/chat", json=CHAT)).status_code == 403
            with pytest.raises(httpx.RemoteProtocolError):  # hung up on
                await client.get("/", headers={"host": "other.example.com"})
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        for context, name in ((old, NAME), (front.context, "other.example.com")):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", front.port, ssl=context, server_hostname=name)
        assert ollama.requests == []


async def test_an_answer_comes_token_by_token(tmp_path: Path, ollama: FakeOllama) -> None:
    ollama.script(Script(tokens=["one ", "two ", "three "], token_gates={1: "second", 2: "third"}))
    async with (
        fronted(tmp_path, ollama) as (front, gateway),
        front.client(headers=key_of(gateway)) as client,
        client.stream("POST", "/api/chat", json=CHAT) as answer,
        asyncio.timeout(20),
    ):
        lines = answer.aiter_lines()
        for text, gate in (("one ", "second"), ("two ", "third"), ("three ", "")):
            # The next one does not exist yet: it is made when this one has been read.
            assert json.loads(await anext(lines))["message"]["content"] == text
            ollama.release(gate)
        assert json.loads([line async for line in lines][-1])["done"]


async def test_the_chat_works_over_its_websocket_and_other_upgrades_do_not_pass(
    tmp_path: Path, ollama: FakeOllama
) -> None:
    async with fronted(tmp_path, ollama) as (front, gateway):
        ann = await log_in(gateway)
        url = front.url.replace("https://", "wss://") + "/gate/ws"
        async with connect(url, ssl=front.context, additional_headers=ann.headers, proxy=None) as socket:
            page = Page(socket)
            await page.next("hello")
            done = await page.answer()
            assert done["message"]["content"] == "Hello, world!"
    async with stub(lambda _: says(200)) as daemon, nginx_before(tmp_path / "again", [daemon.url]) as front:
        async with front.client() as client:
            for path, wish in (("/gate/ws", "h2c"), ("/api/chat", "websocket"), ("/", "h2c")):
                await client.get(path, headers={"connection": "upgrade", "upgrade": wish})
        assert [b"\r\nConnection: " in head for head in daemon.heads] == [False] * 3


async def test_the_clients_address_is_the_one_that_nginx_sees(tmp_path: Path, ollama: FakeOllama) -> None:
    async with fronted(tmp_path, ollama) as (front, gateway):
        async with gateway.services.database.begin() as tx:
            await whitelist.create(tx, cidr="127.0.0.5/32", label="office")
        async with gateway.services.database.read() as tx:
            await gateway.services.whitelist.reload(tx)
        async with front.client(local_address="127.0.0.5") as office:
            assert (await office.post("/api/chat", json=CHAT)).status_code == 200
        async with front.client(local_address="127.0.0.6") as stranger:
            for claimed in ("127.0.0.5", "127.0.0.5, 127.0.0.1", "127.0.0.1"):
                claims = dict.fromkeys(("x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip"), claimed)
                assert (await stranger.post("/api/chat", json=CHAT, headers=claims)).status_code == 401
            assert (await stranger.post("/api/chat", json=CHAT)).status_code == 401
    assert '"client":"127.0.0.5"' in front.log()


async def test_a_body_that_is_too_large_is_refused_in_llmgates_own_words(tmp_path: Path, ollama: FakeOllama) -> None:
    async with fronted(tmp_path, ollama) as (front, gateway), front.client(headers=key_of(gateway)) as client:
        answer = await client.post("/v1/chat/completions", content=b"x" * 100_000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")
        # What is longer than llmgate could ever take does not reach it.
        assert (await client.post("/api/chat", content=b"x" * (34 * 1024 * 1024))).status_code == 413


async def test_errors_of_llmgate_pass_as_they_are(tmp_path: Path, ollama: FakeOllama) -> None:
    ollama.script(Script(status=503))
    async with fronted(tmp_path, ollama) as (front, gateway), front.client(headers=key_of(gateway)) as client:
        unknown = await client.post("/v1/chat/completions", json={**CHAT, "model": "none"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        assert (await client.post("/api/chat", json=CHAT, headers={"authorization": "Bearer no"})).status_code == 401


# Several daemons


@asynccontextmanager
async def pair(folder: Path, *daemons: Stub) -> AsyncIterator[httpx.AsyncClient]:
    async with nginx_before(folder / "nginx", [daemon.url for daemon in daemons]) as front, front.client() as client:
        yield client


async def test_the_load_goes_to_all_daemons_and_an_administrator_to_one(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        daemons = [await stack.enter_async_context(stub(lambda _: says(200))) for _ in range(3)]
        client = await stack.enter_async_context(pair(tmp_path, *daemons))
        await asyncio.gather(*(client.post("/api/chat", json=CHAT) for _ in range(60)))
        assert min(len(daemon.heads) for daemon in daemons) >= 10
        for daemon in daemons:
            daemon.heads.clear()
        for _ in range(9):
            await client.get("/admin/v1/keys")
        assert sorted(len(daemon.heads) for daemon in daemons) == [0, 0, 9]
        # Connections are kept: a daemon need not take a new one for each request.
        assert all(b"\r\nConnection:" not in head for daemon in daemons for head in daemon.heads)


async def test_a_daemon_that_is_not_there_costs_nobody_a_request(tmp_path: Path) -> None:
    gone = Stub(f"http://127.0.0.1:{free_ports(1)[0]}")
    async with stub(lambda _: says(200)) as alive, pair(tmp_path, gone, alive) as client:
        answers = [await client.post("/api/chat", json=CHAT) for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 8
    assert len(alive.heads) == 8


async def test_with_no_daemon_at_all_it_says_so_and_is_back_at_once(tmp_path: Path) -> None:
    """However often all of them have refused: none is left alone when there is no other."""
    gone = Stub(f"http://127.0.0.1:{free_ports(1)[0]}")
    async with AsyncExitStack() as stack:
        front = await stack.enter_async_context(nginx_before(tmp_path / "nginx", [gone.url]))
        client = await stack.enter_async_context(front.client())
        assert [(await client.post("/api/chat", json=CHAT)).status_code for _ in range(3)] == [502] * 3
        server = await asyncio.start_server(_always_well, "127.0.0.1", int(gone.url.rpartition(":")[2]))
        stack.callback(server.close)
        assert (await client.post("/api/chat", json=CHAT)).status_code == 200


async def _always_well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(says(200, b"{}", "Connection: close"))
    writer.close()


async def test_a_request_that_a_daemon_has_got_is_never_sent_to_another(tmp_path: Path) -> None:
    """At most once: the daemon may have run it before it died."""
    async with stub(lambda _: None) as one, stub(lambda _: None) as two, pair(tmp_path, one, two) as client:
        for number in range(1, 5):
            assert (await client.post("/api/chat", json=CHAT)).status_code == 502
            assert len(one.heads) + len(two.heads) == number


async def test_a_request_that_was_not_begun_goes_to_another_daemon(tmp_path: Path) -> None:
    def drains(head: bytes) -> bytes:
        return says(421 if b"X-LLMGate-Elsewhere: 1" in head else 503, b"{}", "Connection: close")

    body = b"x" * 2_000_000  # longer than what nginx keeps in memory
    async with (
        stub(drains) as leaving,
        stub(lambda _: says(200)) as staying,
        pair(tmp_path, leaving, staying) as client,
    ):
        for _ in range(4):
            assert (await client.post("/api/chat", content=body)).status_code == 200
    assert staying.bodies == [body] * 4
    assert leaving.heads
    assert set(leaving.bodies) == {body}


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_an_error_that_may_have_cost_something_is_for_the_client(tmp_path: Path, status: int) -> None:
    said = says(status, b'{"error":"llmgate said so"}', "Retry-After: 7")
    async with stub(lambda _: said) as one, stub(lambda _: said) as two, pair(tmp_path, one, two) as client:
        answer = await client.post("/api/chat", json=CHAT)
        assert (answer.status_code, answer.json()) == (status, {"error": "llmgate said so"})
        assert answer.headers["retry-after"] == "7"
        assert len(one.heads) + len(two.heads) == 1
