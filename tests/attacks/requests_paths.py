"""Paths that must not reach an upstream, in spellings that programs in between have taken for one another."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest

from llmgate.daemon import app, management
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.protocols import ENDPOINTS, OLLAMA, Endpoint
from llmgate.daemon.protocols.base import Route, Task
from tests.admin.harness import Site
from tests.attacks.cases import Attack, Breached, repelled

DIGEST = f"sha256:{'0' * 64}"
FORBIDDEN = (
    # Ollama's, but for those that are served
    *("/api/push", "/api/create", f"/api/blobs/{DIGEST}", "/api/me", "/api/signout", "/api/user/keys/abc"),
    *("/api/experimental/web_search", "/api/experimental/web_fetch", "/api/experimental/aliases", "/api/status"),
    *("/v1/images/generations", "/v1/images/edits", "/v1/audio/transcriptions", "/v1/messages/count_tokens"),
    *("/v1/files", "/v1/batches", "/v1/fine_tuning/jobs", "/v1/responses/abc", "/debug/pprof/heap"),
    # vLLM's
    *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/tokenize", "/detokenize", "/pooling", "/score", "/rerank"),
    *("/invocations", "/sleep", "/wake_up", "/reset_prefix_cache", "/collective_rpc", "/start_profile", "/server_info"),
    # llama.cpp's and LM Studio's
    *("/completion", "/infill", "/embedding", "/slots", "/slots/0", "/props", "/lora-adapters", "/apply-template"),
    *("/models/load", "/models/unload", "/api/v0/models", "/api/v1/models/load"),
    # one that nobody knows yet
    *("/api/whatever-comes-next", "/v1/whatever/comes/next"),
)
MANAGED = ("/api/pull", "/api/copy", "/api/delete")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "CONNECT")
PROBES = frozenset({("GET", "/api/tags"), ("GET", "/api/ps"), ("GET", "/api/version"), ("POST", "/api/show")})
"""What the gateway itself asks an upstream."""
BODY = json.dumps(
    {
        "model": "llama3.2",
        "source": "llama3.2",
        "destination": "copied",
        "messages": [{"role": "user", "content": "Hello"}],
        "prompt": "Hello",
        "stream": False,
    }
).encode()
AT_ONCE = 40


def spellings(path: str) -> list[str]:
    """A path as it is, and in more than fifty other ways."""
    first, rest = path[1:].partition("/")[::2]
    last = f"/{rest}" if rest else ""
    at = 1 + path.find("/", 1) if rest else 1
    return [
        path,
        f"{path}/",
        f"{path}//",
        f"/{path}",
        path.replace("/", "//"),
        f"/.{path}",
        f"/{first}/.{last}",
        f"/x/..{path}",
        f"/{first}/x/..{last}",
        f"/api/chat/../..{path}",
        f"/gate/..{path}",
        f"/v1/models/../..{path}",
        f"/v1/models/%2e%2e/%2e%2e{path}",
        f"/admin/v1/..%2f..{path}",
        f"/..;{path}",
        f"/;{path}",
        f"/{first};{last}",
        f"/{first};x=1{last}",
        f"{path};",
        f"{path};a=b",
        f"{path[:at]}{path[at:].replace('/', '%2f')}",
        f"/{path[1:].replace('/', '%2f')}",
        f"/{path[1:].replace('/', '%2F')}",
        f"/%2f{path[1:]}",
        f"/%{ord(path[1]):02x}{path[2:]}",
        f"{path[:-1]}%{ord(path[-1]):02x}",
        "/" + "".join(f"%{ord(letter):02X}" for letter in path[1:]),
        f"/{path[1:].replace('/', '%252f')}",
        f"/%25{ord(path[1]):02x}{path[2:]}",
        f"/api/chat/%2e%2e/%2e%2e{path}",
        f"/api/chat/..%2f..{path}",
        f"/api/chat%2f..%2f..{path}",
        f"/%2e{path}",
        f"/.%2e{path}",
        path.upper(),
        path.title(),
        f"{path[:-1]}{path[-1].upper()}",
        f"{path}.",
        f"{path}%2e",
        f"{path}%20",
        f"/%20{path[1:]}",
        f"{path}%00",
        f"{path}%00.json",
        f"/api/chat%00{path}",
        f"{path}%0a",
        f"{path}%0d%0aX-Evil:%20a",
        f"{path}%09",
        path.replace("/", "\\"),
        f"/{path[1:].replace('/', '%5c')}",
        f"/api/chat/..%5c..{path}",
        f"{path}?",
        f"{path}?model=llama3.2",
        f"{path}%3fa",
        f"{path}#",
        f"{path}%23",
        f"{path}.json",
        f"{path}~",
        f"http://evil.example{path}",
        f"http://127.0.0.1:11434{path}",
        f"https://evil.example@127.0.0.1{path}",
        f"/{path[1:].replace('/', '%ef%bc%8f')}",
        f"/{path[1:].replace('/', '%c0%af')}",
        f"/{path[1:].replace('/', '%u002f')}",
        path.replace("s", "%c5%bf").replace("k", "%e2%84%aa"),
        f"/http://127.0.0.1{path}",
        f"{path}/.",
    ]


def heads_of(site: Site) -> dict[str, str]:
    """The header of everybody who may ask."""
    clients = {"nobody": site.nobody, "user": site.user, "admin": site.admin}
    heads = {name: client.headers.get("authorization", "") for name, client in clients.items()}
    return heads | {"key": f"Bearer {site.gateway.key}"}


async def statuses(site: Site, requests: Sequence[tuple[str, str, str]]) -> list[int]:
    """Send requests (method, target, authorization) exactly as they are; the status of each answer.

    They go through one connection after the other, and on where the gateway has closed it.
    """
    found: list[int] = []
    while len(found) < len(requests):
        batch = requests[len(found) : len(found) + AT_ONCE]
        answers = await _sent(site, batch)
        assert answers, f"no answer to {batch[0]}"
        found += answers[: len(batch)]
    return found


async def _sent(site: Site, batch: Sequence[tuple[str, str, str]]) -> list[int]:
    parts = urlsplit(site.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=2**20)
    lines = []
    for number, (method, target, authorization) in enumerate(batch, 1):
        more = f"authorization: {authorization}\r\n" if authorization else ""
        more += "connection: close\r\n" if number == len(batch) else ""
        head = f"{method} {target} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: {len(BODY)}\r\n{more}\r\n"
        lines.append(head.encode("latin-1") + BODY)
    writer.write(b"".join(lines))
    try:
        async with asyncio.timeout(30):
            answers = await reader.read(-1)
    except ConnectionResetError:
        answers = b""
    writer.transport.abort()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]


@asynccontextmanager
async def unseen(site: Site, what: str) -> AsyncIterator[None]:
    """Whatever is done meanwhile, the upstream gets nothing but the gateway's own probes."""
    reads, requests = len(site.ollama.reads), len(site.ollama.requests)
    yield
    seen = [(one.method, one.path) for one in [*site.ollama.reads[reads:], *site.ollama.requests[requests:]]]
    repelled(set(seen) <= PROBES, f"{what}: the upstream has seen {sorted(set(seen) - PROBES)[:5]}")


async def denied(site: Site, requests: Iterable[tuple[str, str, str]]) -> int:
    """Assert that these come to nothing; returns how many they were."""
    count, pending = 0, iter(requests)
    while asked := list(itertools.islice(pending, AT_ONCE)):
        async with unseen(site, f"{asked[0][1]} and what follows it"):
            found = await statuses(site, asked)
        for (method, target, _), status in zip(asked, found, strict=True):
            repelled(status >= 400, f"{method} {target} was answered with {status}")
        count += len(asked)
    return count


async def forbidden_paths(site: Site) -> None:
    admin = heads_of(site)["admin"]
    await denied(site, [("POST", target, admin) for path in FORBIDDEN for target in spellings(path)])


async def any_method_and_caller(site: Site) -> None:
    """A sample of what ``every_combination`` has, the same in each run."""
    choice = random.Random(8)  # noqa: S311 - nobody has to guess it
    heads = heads_of(site).values()
    plain = [(method, path, head) for method in METHODS for path in FORBIDDEN for head in heads]
    everything = list(_everything(site))
    await denied(site, [*plain, *choice.sample(everything, 1000)])


def _everything(site: Site) -> Iterable[tuple[str, str, str]]:
    for path in FORBIDDEN:
        yield from itertools.product(METHODS, spellings(path), heads_of(site).values())


async def every_combination(site: Site) -> int:
    """All methods, spellings and callers. Returns how many there were."""
    return await denied(site, _everything(site)) + await denied(site, _managing(site))


def _managing(site: Site) -> list[tuple[str, str, str]]:
    heads = [head for name, head in heads_of(site).items() if name != "admin"]
    targets = [target for path in MANAGED for target in spellings(path)]
    return list(itertools.product(METHODS, targets, heads))


async def management_by_users(site: Site) -> None:
    """Those that administrators may use, in every spelling, asked for by everybody else."""
    wanted = [ask for ask in _managing(site) if ask[0] in ("POST", "DELETE", "GET")]
    await denied(site, wanted)


class PassedOn(dict[str, Endpoint]):
    """A gateway that hands on what it does not know."""

    def get(self, path: str, default: Any = None) -> Any:
        return ENDPOINTS.get(path) or Endpoint(OLLAMA, Route(path, Task.CHAT, stream_default=True))


def pass_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "ENDPOINTS", PassedOn())


def users_manage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(management, "Role", SimpleNamespace(ADMIN=Role.USER))


ATTACKS = [
    Attack("forbidden paths in 65 spellings", forbidden_paths, pass_on, "only listed paths are served", Breached),
    Attack("any method and any caller", any_method_and_caller, pass_on, "only listed paths are served", Breached),
    Attack("management by users", management_by_users, users_manage, "models are changed by administrators", Breached),
]
