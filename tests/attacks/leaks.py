"""Secrets where they do not belong: in answers, metrics, the log at DEBUG, the activity log, the database.

Each secret is a canary that was really used here: passwords right and wrong, keys good and bad, tokens of every kind,
the bearer token of an upstream, prompts. Then everything that the gateway has written is searched for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import structlog
from sqlalchemy import text

from llmgate.daemon.admin import api
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.passwords import PasswordHasher
from llmgate.daemon.auth.sessions import Sessions
from llmgate.daemon.gateway import Gateway
from llmgate.daemon.store import keys, users
from tests.admin import attempts_own  # noqa: F401 - adds its attempts to the others
from tests.admin.attempts import ATTEMPTS, Stage
from tests.admin.harness import PASSWORD, Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import bearer, logged_in, name
from tests.attacks.writing import logged
from tests.fakes import FakeOllama, Script

PROMPT, WRONG_PASSWORD = "canary-prompt-4711", "canary-password-wrong-1"


@contextmanager
def broken(what: Any, method: str) -> Iterator[None]:
    """Our own defect: this raises what nobody expects, with everything that it was given at hand."""
    original = getattr(what, method)

    async def defect(*arguments: Any, **named: Any) -> Any:
        everything = repr((arguments, named))  # a traceback with local variables would print it
        raise RuntimeError("a defect of ours") if everything else AssertionError

    setattr(what, method, defect)
    try:
        yield
    finally:
        setattr(what, method, original)


class Everything:
    """All that was answered and written, and all secrets that were used."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.answers: list[str] = []
        self.secrets = {PASSWORD, PROMPT, WRONG_PASSWORD, "$argon2", site.gateway.key}
        for client in (site.admin, site.user):
            self.secrets.add(client.headers["authorization"].removeprefix("Bearer "))

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request whose answer must not repeat what was sent."""
        answer = await self.site.nobody.request(method, path, **options)
        self.answers.append(f"{answer.headers} {answer.text}")
        return answer


async def by_all_carriers(everything: Everything) -> None:
    """Keys where they belong, and where people put them by mistake."""
    site = everything.site
    made = await site.made("keys", name=name("k"))
    good, bad = made["key"], made["key"][:-1] + "~"
    everything.secrets |= {good, bad}
    for key in (good, bad):
        for path in ("/v1/models", "/gate/auth/me", "/metrics", "/admin/v1/users", "/nothing/here"):
            await everything.ask("GET", path, headers={"authorization": f"Bearer {key}"})
            await everything.ask("GET", path, headers={"x-api-key": key, "authorization": f"Basic {key}"})
            await everything.ask("GET", path, headers={"cookie": f"llmgate={key}"})
            await everything.ask("GET", path, params={"api_key": key})
        await everything.ask("POST", "/gate/auth/refresh", json={"refresh_token": key})
        await everything.ask("POST", "/gate/auth/register", json={"token": key, "name": "x", "password": PASSWORD})
        await everything.ask("POST", "/gate/auth/login", json={"name": ["x"], "password": {"x": PASSWORD}, "y": key})
        await everything.ask("POST", "/gate/auth/login", content=f'{{"name": "{key}", "password": "{PASSWORD}"')
    await everything.ask("POST", "/gate/auth/login", json={"name": "ada", "password": WRONG_PASSWORD})


async def through_defects(everything: Everything) -> None:
    """Where our own code breaks while it holds a secret."""
    site = everything.site
    mine = bearer((await logged_in(site, "ada"))["access_token"])
    everything.secrets.add(mine["authorization"].removeprefix("Bearer "))
    login = {"name": "ada", "password": PASSWORD}
    chat = {"model": "llama3.2", "messages": [{"role": "user", "content": PROMPT}]}
    for what, method in (
        (PasswordHasher, "verify"), (Sessions, "_start"), (users, "password_hash"), (Sessions, "check"),
        (Authenticator, "authenticate"), (keys, "by_secret"), (Gateway, "_classify"), (Gateway, "_serve_in_turn"),
    ):  # fmt: skip
        site.gateway.services.authenticator.invalidate()
        with broken(what, method):
            await everything.ask("POST", "/gate/auth/login", json=login)
            await everything.ask("POST", "/api/chat", json=chat, headers=mine)
            await everything.ask("POST", "/v1/chat/completions", json=chat, headers={"x-api-key": site.gateway.key})
    site.gateway.services.authenticator.invalidate()
    for script in (Script(status=500), Script(cut_before_head=True), Script(cut_after=10), Script(status=401)):
        site.ollama.script(script)
        await everything.ask("POST", "/api/chat", json=chat, headers=mine)


async def every_change(everything: Everything) -> None:
    """Every route that changes something, once with success and once without."""
    async with FakeOllama(models=("new:1b",)) as other:
        stage = Stage(everything.site, other)
        for prepare in ATTEMPTS.values():
            async with prepare(stage) as attempt:
                failed = await attempt.bad()
                await attempt.good()
                everything.answers.append(failed.text)
        everything.secrets |= stage.secrets


async def written_in_the_log(site: Site) -> None:
    everything = Everything(site)
    with logged() as written:
        await by_all_carriers(everything)
        await through_defects(everything)
    assert "a defect of ours" in written.getvalue(), "the defects were seen"
    holds_none(written.getvalue(), everything, "the log")


async def written_by_every_change(site: Site) -> None:
    everything = Everything(site)
    with logged() as written:
        await every_change(everything)
    assert len(everything.secrets) > 30
    everything.secrets.discard("$argon2")
    holds_none(written.getvalue(), everything, "the log")


async def told_in_answers(site: Site) -> None:
    everything = Everything(site)
    with logged():
        await by_all_carriers(everything)
        await through_defects(everything)
    for answer in everything.answers:
        holds_none(answer, everything, "an answer")
        repelled("Traceback" not in answer and "RuntimeError" not in answer, f"an answer tells of our code: {answer}")


async def kept_or_shown(site: Site) -> None:
    """The metrics, and all rows of all tables. Prompts are kept in conversations only, and these were none."""
    everything = Everything(site)
    with logged():
        await by_all_carriers(everything)
        await through_defects(everything)
    metrics = (await site.admin.get("/metrics")).text
    assert "llmgate_" in metrics
    holds_none(metrics, everything, "the metrics")
    registration = (await site.made("tokens"))["token"]
    tokens = await logged_in(site, "ada")
    everything.secrets |= {registration, tokens["access_token"], tokens["refresh_token"]}
    everything.secrets.discard("$argon2")  # which is where it belongs
    await site.gateway.services.usage.flush()
    async with site.gateway.services.database.read() as tx:
        names = (await tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))).scalars().all()
        rows = [str(row) for one in names for row in await tx.execute(text(f'SELECT * FROM "{one}"'))]  # noqa: S608
    assert len(rows) > 20
    holds_none("\n".join(rows), everything, "the database")


def holds_none(found: str, everything: Everything, what: str) -> None:
    for secret in everything.secrets:
        where = found.find(secret)
        repelled(where < 0, f"{what} holds {secret!r}: {found[max(0, where - 200) : where + 60]!r}")


# -- without the controls -----------------------------------------------------------------------------------


def tracebacks_with_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a helpful library does by itself: the values of all local variables with each traceback."""
    shown = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=True))
    monkeypatch.setattr(structlog.processors, "format_exc_info", shown)


def errors_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with a body, with the body."""
    monkeypatch.setattr(api, "explain", str)
    monkeypatch.setattr(api, "faults_of", lambda found: [{"input": str(one.get("input"))} for one in found])


ATTACKS: list[Attack[Site]] = [
    Attack("secrets in the log", written_in_the_log, tracebacks_with_variables, "tracebacks without variables"),
    Attack("secrets in answers", told_in_answers, errors_as_they_are, "errors name fields, never values"),
]
