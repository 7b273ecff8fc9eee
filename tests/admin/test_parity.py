"""Every noun and verb of the admin API exists in the client, on the command line and in the dashboard.

``PARITY`` is the one table of it: a route that is not in it, a method or a verb that is not there, and a verb that
leads nowhere all fail, each by its name.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from llmgate import schemas
from llmgate.cli.main import build
from llmgate.client import AdminClient
from llmgate.connection import Connection
from llmgate.tui.screens import SECTIONS
from tests.admin.harness import Site

PARITY: dict[str, tuple[str, str]] = {
    # route: what of the client asks for it, and the verb that an administrator types
    "GET /users": ("users.page", "users list"),
    "POST /users": ("users.create", "users create"),
    "GET /users/{user}": ("users.get", "users show"),
    "PATCH /users/{user}": ("users.update", "users update"),
    "PUT /users/{user}/password": ("set_password", "users password"),
    "DELETE /users/{user}": ("users.delete", "users delete"),
    "GET /tokens": ("tokens.page", "tokens list"),
    "POST /tokens": ("tokens.create", "tokens create"),
    "GET /tokens/{token}": ("tokens.get", "tokens show"),
    "POST /tokens/{token}/revoke": ("tokens.revoke", "tokens revoke"),
    "DELETE /tokens/{token}": ("tokens.delete", "tokens delete"),
    "GET /keys": ("keys.page", "keys list"),
    "POST /keys": ("keys.create", "keys create"),
    "GET /keys/{key}": ("keys.get", "keys show"),
    "PATCH /keys/{key}": ("keys.update", "keys update"),
    "POST /keys/{key}/rotate": ("keys.rotate", "keys rotate"),
    "POST /keys/{key}/revoke": ("keys.revoke", "keys revoke"),
    "DELETE /keys/{key}": ("keys.delete", "keys delete"),
    "GET /whitelist": ("whitelist.page", "whitelist list"),
    "POST /whitelist": ("whitelist.create", "whitelist add"),
    "GET /whitelist/{entry}": ("whitelist.get", "whitelist show"),
    "PATCH /whitelist/{entry}": ("whitelist.update", "whitelist update"),
    "DELETE /whitelist/{entry}": ("whitelist.delete", "whitelist delete"),
    "GET /whitelist/test": ("whitelist.test", "whitelist test"),
    "GET /upstreams": ("upstreams.page", "upstreams list"),
    "POST /upstreams": ("upstreams.create", "upstreams create"),
    "GET /upstreams/{upstream}": ("upstreams.get", "upstreams show"),
    "PATCH /upstreams/{upstream}": ("upstreams.update", "upstreams update"),
    "DELETE /upstreams/{upstream}": ("upstreams.delete", "upstreams delete"),
    "GET /pools": ("pools.page", "pools list"),
    "GET /pools/{pool}": ("pools.get", "pools show"),
    "GET /models": ("models.page", "models list"),
    "GET /models/loaded": ("models.loaded", "models loaded"),
    "GET /models/{model}": ("models.get", "models show"),
    "POST /models/pull": ("models.pull", "models pull"),
    "POST /models/copy": ("models.copy", "models copy"),
    "DELETE /models/{model}": ("models.delete", "models delete"),
    "GET /queue/stats": ("queue_stats", "queue stats"),
    "GET /queue/status": ("queue_status", "queue status"),
    "GET /queue/waiting": ("waiting", "queue list"),
    "GET /queue/running": ("running", "queue running"),
    "DELETE /queue/waiting/{ticket}": ("cancel", "queue cancel"),
    "DELETE /queue/running/{ticket}": ("stop", "queue stop"),
    "PATCH /queue/waiting/{ticket}": ("set_level", "queue level"),
    "POST /queue/pools/{pool}/pause": ("pool", "queue pause"),
    "POST /queue/pools/{pool}/resume": ("pool", "queue resume"),
    "POST /queue/pools/{pool}/drain": ("pool", "queue drain"),
    "GET /usage": ("usage.report", "usage"),
    "GET /requests": ("requests.page", "requests list"),
    "GET /activity": ("activity.page", "activity list"),
    "GET /activity/{seq}": ("activity.get", "activity show"),
    "POST /activity/verify": ("activity.verify", "activity verify"),
    "GET /settings": ("settings.page", "settings list"),
    "GET /settings/{key}": ("settings.get", "settings show"),
    "PUT /settings/{key}": ("settings.set", "settings set"),
    "DELETE /settings/{key}": ("settings.reset", "settings reset"),
    "POST /settings/reload": ("settings.reload", "config reload"),
    "GET /sessions": ("sessions.page", "sessions list"),
    "GET /sessions/{session}": ("sessions.get", "sessions show"),
    "POST /sessions/{session}/revoke": ("sessions.revoke", "sessions revoke"),
    "POST /sessions/revoke": ("sessions.revoke_all", "sessions revoke"),
    "GET /events": ("events.listen", "events watch"),
    "GET /system": ("system", "system show"),
    "GET /openapi.json": ("openapi", "openapi"),
}
OTHERS = {
    # verbs that ask the routes of others
    "queue watch", "activity watch",
    # verbs for oneself, which every user has: they ask /gate and the models' own API
    "login", "logout", "passwd", "auth status", "chat", "tui",
    # verbs that work on this machine, some of them on a daemon that does not run
    "serve", "init", "version", "doctor", "recover", "backup", "restore", "db status", "db upgrade",
    "config check", "config show", "config path",
    "context list", "context show", "context create", "context use", "context rename", "context remove",
    "completion show", "completion install",
}  # fmt: skip


def verbs(command: Any, context: Any, name: str = "") -> Iterator[str]:
    """Every command that is shown, as it is typed."""
    if not isinstance(command, TyperGroup):
        yield name
        return
    for verb in command.list_commands(context):
        inner: Any = command.get_command(context, verb)
        if not inner.hidden:
            yield from verbs(inner, typer.Context(inner, info_name=verb, parent=context), f"{name} {verb}".strip())


def typed() -> set[str]:
    command = get_command(build())
    return set(verbs(command, typer.Context(command, info_name="llmgate")))


def reachable() -> set[str]:
    """Every verb in the dashboard: as a list, in what Enter shows, as an action, or as what a screen stands for."""
    found: set[str] = set()
    for section in SECTIONS:
        found.update(section.also)
        for listing in section.views:
            found.update((listing.lists, listing.shows, *listing.also))
            for action in listing.actions:
                found.update((action.verb, *action.also))
    return {verb.partition(" --")[0] for verb in found if verb}


class Asked(Exception):
    """A route that the client asks."""


async def call(method: Any, verb: str) -> None:
    """Call a method of the client: about "it", or with whatever else it needs."""
    given = {"body": schemas.Request(), "verb": verb, "level": 1}
    values = {
        item.name: given.get(item.name, "it")
        for item in inspect.signature(method).parameters.values()
        if item.default is item.empty and item.kind is item.POSITIONAL_OR_KEYWORD
    }
    result = method(**values)
    if inspect.isasyncgen(result):
        await anext(result)
    else:
        await result


async def test_every_route_is_in_the_table(site: Site) -> None:
    document = (await site.admin.get("/admin/v1/openapi.json")).json()
    routes = {f"{method.upper()} {path}" for path, operations in document["paths"].items() for method in operations}
    assert routes == set(PARITY)


@pytest.mark.parametrize("route", PARITY)
async def test_every_route_is_asked_by_the_client(route: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: Connection, method: str, path: str, *_: Any, **__: Any) -> NoReturn:
        raise Asked(f"{method} {path}")

    monkeypatch.setattr(Connection, "send", asked)
    monkeypatch.setattr(Connection, "stream", asked)
    called, verb = PARITY[route]
    async with AdminClient("http://127.0.0.1:9") as client:
        with pytest.raises(Asked) as found:
            await call(functools.reduce(getattr, called.split("."), client), verb.split()[-1])
    method, _, path = route.partition(" ")
    expected = re.sub(r"\{\w+\}", "it", path)
    assert str(found.value) == f"{method} /admin/v1{expected}"


def test_every_verb_is_in_the_dashboard() -> None:
    verbs_of_routes = {verb for _, verb in PARITY.values()}
    assert verbs_of_routes - reachable() == set()


def test_the_dashboard_names_no_verb_that_there_is_not() -> None:
    assert reachable() - typed() == set()


def test_every_route_has_a_verb_and_every_verb_a_route() -> None:
    assert typed() == {verb for _, verb in PARITY.values()} | OTHERS
