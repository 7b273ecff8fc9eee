"""Ollama's own routes that change models, for administrators: a stock ``ollama pull``, ``cp`` and ``rm`` work."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Container, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, Role
from llmgate.daemon.auth.routes import MANAGE
from llmgate.daemon.exchange import ClientGone, Exchange, Receive, Scope, Send
from llmgate.daemon.hops import refuse_own
from llmgate.daemon.open_answers import OpenAnswer, OpenAnswers
from llmgate.daemon.protocols import protocol_of
from llmgate.daemon.protocols.bodies import parse_body
from llmgate.daemon.store.activity import Actor
from llmgate.daemon.upstreams.models import ModelKeeper
from llmgate.daemon.upstreams.pulling import PullEvent
from llmgate.errors import InvalidRequest, LLMGateError, MethodNotAllowed, PermissionDenied, UpstreamError

BODY_BYTES = 64 * 1024
MOST = 2000
"""Layers and steps of one pull that are told; a model has a dozen of each."""
OLLAMA = protocol_of("/api/")

Act = Callable[[Actor, Mapping[str, Any], Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ManagementRoute:
    """One such route: an ASGI application that answers in Ollama's dialect."""

    method: str
    act: Act
    authenticator: Authenticator
    client_address: Callable[[Scope], str]
    answers: OpenAnswers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, secrets.token_hex(8))
        try:
            with exchange.interruptible():
                await self._serve(scope, exchange)
        except ClientGone:
            await exchange.drop()
        except LLMGateError as failure:
            await exchange.fail(OLLAMA, failure)
        except Exception:  # a defect of ours must still be answered, and seen
            structlog.get_logger("llmgate.management").exception("request_broke", request_id=exchange.request_id)
            await exchange.fail(OLLAMA, LLMGateError("The gateway failed."))

    async def _serve(self, scope: Scope, exchange: Exchange) -> None:
        if scope["method"] != self.method:
            raise MethodNotAllowed(f"{scope['path'][:80]} takes {self.method}.")
        address = self.client_address(scope)
        caller = await self.authenticator.authenticate(scope["headers"], address=address, method=scope["method"])
        _check(caller, scope)
        judge = partial(self._again, caller, scope, address)
        with self.answers.entered(OpenAnswer(exchange.request_id, caller, judge, exchange.interrupt)):
            refuse_own(scope["headers"])
            body = parse_body(await exchange.read_body(BODY_BYTES))
            exchange.watch()
            actor = Actor(caller.kind.value, caller.id, caller.name, address, exchange.request_id)
            await self.act(actor, body, exchange)

    async def _again(self, caller: Principal, scope: Scope, address: str) -> None:
        known = self.authenticator.again
        _check(await known(caller, scope["headers"], address=address, method=scope["method"]), scope)


def _check(caller: Principal, scope: Scope) -> None:
    if caller.role is not Role.ADMIN:
        raise PermissionDenied("Models are changed by administrators only.")
    caller.check_route(scope["path"], MANAGE)


class Management:
    """What the routes do."""

    def __init__(self, models: ModelKeeper) -> None:
        self._models = models

    async def pull(self, actor: Actor, body: Mapping[str, Any], exchange: Exchange) -> None:
        """``/api/pull``: the progress of all upstreams as that of one, or the end alone with ``stream: false``."""
        pull = await self._models.pull(actor, _name_in(body, "model", "name"))
        try:
            async with aclosing(as_one(pull.events(), pull.upstreams)) as progress:
                if body.get("stream") is False:
                    await exchange.answer(200, _dumped([event async for event in progress][-1]))
                    return
                async for event in progress:
                    await exchange.write_chunk(OLLAMA, _dumped(event) + b"\n")
                await exchange.end_stream(OLLAMA)
        finally:
            pull.cancel()

    async def copy(self, actor: Actor, body: Mapping[str, Any], exchange: Exchange) -> None:
        """``/api/copy``."""
        await self._models.copy(actor, _name_in(body, "source"), _name_in(body, "destination"))
        await exchange.answer(200, b"")

    async def delete(self, actor: Actor, body: Mapping[str, Any], exchange: Exchange) -> None:
        """``/api/delete``."""
        await self._models.delete(actor, _name_in(body, "model", "name"))
        await exchange.answer(200, b"")


def _name_in(body: Mapping[str, Any], *fields: str) -> str:
    # Ollama's own client sends the old name of a field, and an empty new one.
    name = next((body[field] for field in fields if body.get(field)), None)
    if not isinstance(name, str):
        raise InvalidRequest(f"{fields[0]} must name a model.", param=fields[0])
    return name


def _dumped(event: Mapping[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


@dataclass(slots=True)
class _Layer:
    total: int = 0
    completed: dict[str, int] = field(default_factory=dict)


def _is_new(event: PullEvent, layers: Container[str], told: Container[str]) -> bool:
    return event.status not in told if event.digest is None else event.digest not in layers


async def as_one(events: AsyncIterator[PullEvent], upstreams: Iterable[str]) -> AsyncGenerator[dict[str, Any], None]:
    """The progress of several upstreams as Ollama would tell it of one: a layer is as far as on the slowest, a step is
    told once, and ``success`` comes when all have it.

    Raises UpstreamError when one of them failed.
    """
    running = set(upstreams)
    layers: dict[str, _Layer] = {}
    told: set[str] = set()
    latest: dict[str, PullEvent] = {}
    failures: list[str] = []
    async for event in events:
        if event.done:
            running.discard(event.upstream)
            if event.error:
                failures.append(f"{event.upstream}: {event.error}")
        elif len(layers) + len(told) >= MOST and _is_new(event, layers, told):
            continue
        elif event.digest is not None:
            layer = layers.setdefault(event.digest, _Layer())
            layer.total = event.total or layer.total
            layer.completed[event.upstream] = event.completed or 0
            slowest = min(layer.completed.get(name, 0) for name in running | {event.upstream})
            yield {"status": event.status, "digest": event.digest, "total": layer.total, "completed": slowest}
        elif event.status != "success" and (event.status not in told or event is latest.get(event.upstream)):
            told.add(event.status)
            yield {"status": event.status}
        latest[event.upstream] = event
    if failures or running:
        raise UpstreamError("; ".join(failures) or "The pull was ended.")
    yield {"status": "success"}
