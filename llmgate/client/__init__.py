"""The client of the admin API: the only way in which the command line reaches a daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

from pydantic import SecretStr

from llmgate import schemas
from llmgate.client.activity import Activity
from llmgate.client.events import Events
from llmgate.client.keys import Keys
from llmgate.client.models import Models
from llmgate.client.noun import Noun, named
from llmgate.client.sessions import Sessions
from llmgate.client.settings import Settings
from llmgate.client.usage import Usage, requests
from llmgate.client.whitelist import Whitelist
from llmgate.connection import Connection, Credentials, FixedToken, lines, raise_for_status, segment
from llmgate.errors import LLMGateError, UpstreamCut

__all__ = ["AdminClient", "named"]


class AdminClient:
    """Talks to one daemon. Use it as ``async with``; nothing is sent before the first call.

    Every call raises what the daemon answered as the error class of that code, or DaemonUnreachable or
    DaemonTimeout.
    """

    def __init__(self, url: str, credentials: Credentials | None = None, *, timeout: float = 30) -> None:
        """``timeout`` is in seconds, for each answer. Raises InvalidRequest when ``url`` is none."""
        wire = Connection(url, credentials or FixedToken(None), timeout)
        self._wire = wire
        self.url = wire.url
        self.events = Events(wire)
        self.usage = Usage(wire)
        self.requests = requests(wire)
        self.users = Noun(wire, "user", "/admin/v1/users", schemas.User, schemas.User, schemas.Page[schemas.User])
        self.tokens = Noun(
            wire,
            "registration token",
            "/admin/v1/tokens",
            schemas.RegistrationToken,
            schemas.NewRegistrationToken,
            schemas.Page[schemas.RegistrationToken],
        )
        self.keys = Keys(wire)
        self.upstreams = Noun(
            wire,
            "upstream",
            "/admin/v1/upstreams",
            schemas.Upstream,
            schemas.Upstream,
            schemas.Page[schemas.Upstream],
        )
        self.pools = Noun(wire, "pool", "/admin/v1/pools", schemas.Pool, schemas.Pool, schemas.Page[schemas.Pool])
        self.models = Models(wire)
        self.whitelist = Whitelist(wire)
        self.sessions = Sessions(wire)
        self.activity = Activity(wire)
        self.settings = Settings(wire)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._wire.close()

    # -- sessions ------------------------------------------------------------------------------

    async def login(self, name: str, password: str) -> schemas.Tokens:
        body = schemas.Login(name=name, password=SecretStr(password))
        return await self._wire.ask("POST", "/gate/auth/login", schemas.Tokens, body=body, anonymous=True)

    async def redeem(self, verb: str, token: str, name: str, password: str) -> schemas.User:
        """Make an account with a token; ``verb`` is register, or setup for the first administrator."""
        body = schemas.Redeem(token=SecretStr(token), name=name, password=SecretStr(password))
        return await self._wire.ask("POST", f"/gate/auth/{verb}", schemas.User, body=body, anonymous=True)

    async def logout(self) -> None:
        await self._wire.tell("POST", "/gate/auth/logout")

    async def me(self) -> schemas.Me:
        return await self._wire.ask("GET", "/gate/auth/me", schemas.Me)

    async def set_password(self, user: str, password: str) -> None:
        body = schemas.NewPassword(password=SecretStr(password))
        with named("user", user, "llmgate users list"):
            await self._wire.tell("PUT", f"/admin/v1/users/{segment(user)}/password", body=body)

    async def change_password(self, current: str, password: str) -> schemas.Tokens:
        """Change one's own password: every session ends, the answer is a new one."""
        body = schemas.ChangePassword(current_password=SecretStr(current), password=SecretStr(password))
        return await self._wire.ask("POST", "/gate/auth/password", schemas.Tokens, body=body)

    # -- queue ---------------------------------------------------------------------------------

    async def queue_stats(self) -> list[schemas.PoolStats]:
        return (await self._wire.ask("GET", "/admin/v1/queue/stats", schemas.Page[schemas.PoolStats])).data

    async def queue_status(self) -> schemas.QueueStatus:
        return await self._wire.ask("GET", "/admin/v1/queue/status", schemas.QueueStatus)

    async def waiting(self, limit: int = 500, **filters: Any) -> list[schemas.Waiting]:
        """Who waits, in the order of service. ``filters``: owner, pool, model, level."""
        return (await self.waiting_page(limit, **filters)).data

    async def waiting_page(self, limit: int = 500, **filters: Any) -> schemas.WaitingPage:
        """As ``waiting``, and how many there are in total."""
        query = {"limit": limit, **filters}
        return await self._wire.ask("GET", "/admin/v1/queue/waiting", schemas.WaitingPage, query=query)

    async def running(self, **filters: Any) -> list[schemas.Running]:
        """Who holds a slot. ``filters``: owner, pool, model, level, limit."""
        page = schemas.Page[schemas.Running]
        return (await self._wire.ask("GET", "/admin/v1/queue/running", page, query=filters)).data

    async def cancel(self, ticket: str) -> None:
        with named("waiting request", ticket, "llmgate queue list"):
            await self._wire.tell("DELETE", f"/admin/v1/queue/waiting/{segment(ticket)}")

    async def stop(self, ticket: str) -> None:
        with named("running request", ticket, "llmgate queue running"):
            await self._wire.tell("DELETE", f"/admin/v1/queue/running/{segment(ticket)}")

    async def set_level(self, ticket: str, level: int) -> schemas.Waiting:
        body = schemas.LevelChange(level=level)
        path = f"/admin/v1/queue/waiting/{segment(ticket)}"
        with named("waiting request", ticket, "llmgate queue list"):
            return await self._wire.ask("PATCH", path, schemas.Waiting, body=body)

    async def pool(self, pool: str, verb: str) -> schemas.PoolStats:
        """``verb`` is pause, resume or drain."""
        with named("pool", pool, "llmgate queue stats"):
            return await self._wire.ask("POST", f"/admin/v1/queue/pools/{segment(pool)}/{verb}", schemas.PoolStats)

    async def my_place(self, request_id: str) -> schemas.Waiting:
        """Where one's own request stands. Raises NotFound when it does not wait (any more)."""
        return await self._wire.ask("GET", f"/gate/queue/{segment(request_id)}", schemas.Waiting)

    # -- the rest ------------------------------------------------------------------------------

    async def system(self) -> schemas.System:
        return await self._wire.ask("GET", "/admin/v1/system", schemas.System)

    async def usable_models(self) -> list[str]:
        """Names of the models that this caller may use."""
        response = await self._wire.send("GET", "/api/tags")
        with self._wire.readable():
            return [str(model["name"]) for model in response.json()["models"]]

    async def chat(self, body: Mapping[str, Any], request_id: str) -> AsyncIterator[dict[str, Any]]:
        """Stream the answer of ``/api/chat``, one object per line.

        Raises what the stream reports as an error, and UpstreamCut when it ends before the answer is complete.
        """
        content = json.dumps(body).encode()
        headers = {"x-request-id": request_id, "content-type": "application/json"}
        async with self._wire.stream("POST", "/api/chat", content, headers) as response:
            await raise_for_status(response)
            async for line in lines(response):
                with self._wire.readable():
                    chunk = dict(json.loads(line))
                if "error" in chunk:
                    raise LLMGateError(str(chunk["error"]))
                yield chunk
                if chunk.get("done"):
                    return
        raise UpstreamCut("The answer ended before it was complete.")

    async def openapi(self, mount: str = "admin/v1") -> dict[str, Any]:
        """The description of an API of the daemon's, as OpenAPI 3.1. ``mount``: admin/v1, or gate."""
        return (await self._wire.ask("GET", f"/{mount}/openapi.json", schemas.Answer)).model_dump()
