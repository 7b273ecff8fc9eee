"""An administrator at work and a user who is logged in, while everything fails around them: they leave secrets that
must be nowhere, and entries in the activity log that must fit together."""

from __future__ import annotations

import asyncio
import random
import secrets
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx

from tests.cluster.harness import Cluster

PAUSE = 1.0
TRY_SECONDS = 10.0


class People:
    """``secrets`` are those that were told to them, by name."""

    def __init__(self, running: Cluster, seed: int) -> None:
        self.secrets: dict[str, bytes] = {}
        self.done: Counter[str] = Counter()
        self.keys: list[str] = []
        """API keys for the load, of three different principals."""
        self._cluster = running
        self._dice = random.Random(f"people/{seed}")  # noqa: S311 - a test's choices
        self._password = f"password-{secrets.token_hex(12)}"
        self._refresh = ""

    async def arrive(self) -> None:
        """Keys, a registration token, an account made with it, a session."""
        for number in range(3):
            made = await self._must("POST", "/admin/v1/keys", {"name": f"load{number}"})
            self.keys.append(made["key"])
            self._keep_key(f"API key {number}", made["key"])
        self._keep_key("admin key", self._cluster.admin)
        self._keep_key("first API key", self._cluster.key)
        token = (await self._must("POST", "/admin/v1/tokens", {"label": "guests"}))["token"]
        self.secrets |= {"registration token": token.encode(), "password": self._password.encode()}
        account = {"name": "ada", "password": self._password}
        await self._must("POST", "/gate/auth/register", {"token": token, **account})
        self._keep_session(await self._must("POST", "/gate/auth/login", account), "login")

    async def work(self) -> None:
        """Until cancelled. What fails is tried again the next time."""
        number = 0
        while True:
            await asyncio.sleep(PAUSE)
            number += 1
            with suppress(httpx.HTTPError):
                if number % 3:
                    await self._make_and_revoke(number)
                else:
                    await self._renew()

    async def _make_and_revoke(self, number: int) -> None:
        made = await self._try("POST", "/admin/v1/keys", {"name": f"passing{number}"})
        if made.status_code == 201:
            self.done["key made"] += 1
            key = made.json()
            if len(self.secrets) < 40:
                self._keep_key(f"passing key {number}", key["key"])
            revoked = await self._try("DELETE", f"/admin/v1/keys/{key['id']}")
            self.done["key revoked"] += revoked.status_code == 204

    async def _renew(self) -> None:
        """A refresh token that is not known to be used up, or else a new session."""
        token, self._refresh = self._refresh, ""
        if token:
            answer = await self._try("POST", "/gate/auth/refresh", {"refresh_token": token})
        else:
            answer = await self._try("POST", "/gate/auth/login", {"name": "ada", "password": self._password})
        if answer.status_code == 200:
            self.done["session renewed" if token else "logged in"] += 1
            self._keep_session(answer.json(), "refresh")

    def _keep_key(self, name: str, text: str) -> None:
        """The id in it is no secret."""
        self.secrets[name] = text.rpartition("_")[2].encode()

    def _keep_session(self, tokens: dict[str, Any], name: str) -> None:
        self._refresh = tokens["refresh_token"]
        self.secrets[f"refresh token, {name}"] = self._refresh.encode()
        self.secrets[f"access token, {name}"] = tokens["access_token"].rpartition(".")[2].encode()

    async def _must(self, method: str, path: str, body: dict[str, Any]) -> Any:
        answer = await self._try(method, path, body)
        answer.raise_for_status()
        return answer.json()

    async def _try(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        living = [daemon for daemon in self._cluster.daemons if daemon.answers] or self._cluster.daemons
        headers = {"authorization": f"Bearer {self._cluster.admin}"} if path.startswith("/admin") else {}
        url = self._dice.choice(living).url
        return await self._cluster.client.request(
            method, f"{url}{path}", json=body, headers=headers, timeout=TRY_SECONDS
        )
