"""The read routes of the protocols: which models there are. They are answered at once, never queued."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.budget import BodyBudget
from llmgate.daemon.exchange import ClientGone, Exchange, Receive, Scope, Send
from llmgate.daemon.hops import refuse_own
from llmgate.daemon.protocols.base import Protocol
from llmgate.daemon.protocols.bodies import parse_body
from llmgate.daemon.upstreams.registry import UpstreamRegistry
from llmgate.errors import InvalidRequest, LLMGateError, MethodNotAllowed

BODY_BYTES = 64 * 1024

Answer = Callable[[Principal, Exchange], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class ReadRoute:
    """One read route: an ASGI application that answers with JSON in the dialect of ``protocol``."""

    protocol: Protocol
    methods: tuple[str, ...]
    answer: Answer
    authenticator: Authenticator
    client_address: Callable[[Scope], str]
    bodies: BodyBudget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, secrets.token_hex(8))
        try:
            with exchange.interruptible():
                await self._serve(scope, exchange)
        except ClientGone:
            await exchange.drop()
        except LLMGateError as failure:
            await exchange.fail(self.protocol, failure)
        except Exception:  # a defect of ours must still be answered, and seen
            structlog.get_logger("llmgate.catalogue").exception("request_broke", request_id=exchange.request_id)
            await exchange.fail(self.protocol, LLMGateError("The gateway failed."))
        finally:
            self.bodies.forget(exchange)

    async def _serve(self, scope: Scope, exchange: Exchange) -> None:
        if scope["method"] not in self.methods:
            raise MethodNotAllowed(f"{scope['path'][:80]} takes {' or '.join(self.methods)}.")
        refuse_own(scope["headers"])
        principal = await self.authenticator.authenticate(
            scope["headers"], address=self.client_address(scope), method=scope["method"]
        )
        body = json.dumps(await self.answer(principal, exchange), ensure_ascii=False).encode()
        self.bodies.answered(exchange, principal.owner, len(body))
        await exchange.answer(200, body)


class Catalogue:
    """The models of all pools as one server's, filtered to what the principal may use."""

    def __init__(self, upstreams: UpstreamRegistry) -> None:
        self._upstreams = upstreams

    async def tags(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """Ollama: every model there is."""
        return {"models": self._upstreams.tags(principal.may_use)}

    async def ps(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """Ollama: the models that are loaded somewhere."""
        return {"models": self._upstreams.ps(principal.may_use)}

    async def version(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """Ollama: the version that clients may count on."""
        return {"version": self._upstreams.version()}

    async def show(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """Ollama: details of one model, from one of its upstreams."""
        body = parse_body(await exchange.read_body(BODY_BYTES))
        model = body.get("model") or body.get("name")  # Ollama's own client sends the old name, and an empty new one
        if not isinstance(model, str) or not model:
            raise InvalidRequest("model must name a model.", param="model")
        return await self._upstreams.show(model, principal.may_use)

    async def models(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """OpenAI: every model there is."""
        return {"object": "list", "data": self._upstreams.openai_models(principal.may_use)}

    async def model(self, principal: Principal, exchange: Exchange) -> Mapping[str, Any]:
        """OpenAI: one model, whose name is the rest of the path."""
        return self._upstreams.openai_model(exchange.scope["path_params"]["model"], principal.may_use)
