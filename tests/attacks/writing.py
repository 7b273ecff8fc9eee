"""Text that is written to be obeyed: by terminals, readers of logs, spreadsheets, parsers of HTTP.

It comes as a user agent, as the name of a model, as the text of an upstream's error, as names and labels.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import pyte
import pytest
import structlog

from llmgate import text
from llmgate.config import LogSettings
from llmgate.daemon import logs
from llmgate.daemon.admin import spreadsheet
from llmgate.daemon.store import checks
from tests.admin.harness import PASSWORD, Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import bearer, logged_in, name
from tests.cli.harness import llmgate
from tests.fakes import Script
from tests.gateway.harness import CHAT

CLIPBOARD, TITLE, ERASE, C1, MIRROR = "\x1b]52;c;aGFja2Vk\x07", "\x1b]0;owned\x07", "\x1b[2J\x1b[H", "\x9b31m", "\u202e"
EVIL = f'=1+1{CLIPBOARD}{TITLE}{ERASE}{C1}{MIRROR}\u2066gnp.exe\r\n{{"event":"forged"}}\n\u2028\x7f\0'
EVIL_MODEL = "=HYPERLINK(1)" + EVIL.replace("\0", "")[:150]
FORMULA_MODEL = "=cmd(1)+1"
"""The upstream has models of these names."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""What a terminal obeys, and what turns text round. A line may end, and a table may have tabs."""


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What the daemon would write on its standard error, at the level DEBUG."""
    written = io.StringIO()
    levels = {one: logging.getLogger(one).level for one in ("", "aiormq", "aio_pika")}
    with mock.patch.object(sys, "stderr", written):
        logs.configure_logging(LogSettings(level="debug", format="json"))
        structlog.configure(cache_logger_on_first_use=False)  # the next test has another
    try:
        yield written
    finally:
        structlog.reset_defaults()
        for one, level in levels.items():
            logging.getLogger(one).setLevel(level)


async def everything_hostile(site: Site) -> str:
    """Say it everywhere; the name of a user that is a formula, with usage."""
    user = name("@x")
    await site.made("users", name=user, password=PASSWORD)
    agent = [(b"user-agent", ("evil" + C1 + "\xad=1+1").encode("latin-1"))]
    await site.nobody.post("/gate/auth/login", json={"name": user, "password": PASSWORD}, headers=agent)
    mine = bearer((await logged_in(site, user))["access_token"])
    key = {"x-api-key": (await site.made("keys", name=name("-1")))["key"]}
    assert (await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=key)).status_code == 200
    for model in (FORMULA_MODEL, EVIL_MODEL, EVIL, EVIL[::-1]):
        await site.nobody.post("/api/chat", json={**CHAT, "model": model, "stream": False}, headers=mine)
        await site.nobody.post("/v1/chat/completions", json={**CHAT, "model": model}, headers=mine)
    site.ollama.script(Script(status=500, body=json.dumps({"error": EVIL}).encode()))
    await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=mine)
    site.ollama.script(Script(error_after=(1, EVIL)))
    await site.nobody.post("/api/chat", json=CHAT, headers=mine)
    await site.nobody.post("/gate/auth/login", json={"name": EVIL, "password": EVIL})
    await site.nobody.get("/api/x%1b%5d52%3bc%3baGk%3d%07%e2%80%ae", headers=mine)
    await site.gateway.services.usage.flush()
    return user


# -- the log --------------------------------------------------------------------------------------------


async def lines_of_the_log(site: Site) -> None:
    with logged() as written:
        await everything_hostile(site)
        log = structlog.get_logger("llmgate.attacked")
        log.warning("upstream_refused", text=EVIL, model=EVIL_MODEL)
        try:
            raise ValueError(EVIL)
        except ValueError:
            log.exception("request_broke", path=EVIL)
    lines = written.getvalue().split("\n")
    assert len(lines) > 3
    for line in lines[:-1]:
        repelled(not OBEYED.search(line), f"a terminal would obey {line!r}")
        try:
            entry = json.loads(line)
        except ValueError:
            repelled(False, f"no JSON: {line!r}")
        repelled(isinstance(entry, dict) and entry["event"] != "forged", f"a line was forged: {line!r}")
    for forged in re.split("[\u2028\u2029\x85]", written.getvalue()):
        repelled("forged" not in forged[:20], "some readers see a line that was forged")


def log_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "clean", lambda line: line)


# -- terminals --------------------------------------------------------------------------------------------


async def commands_on_a_terminal(site: Site) -> None:
    """What the commands print, drawn by a terminal: nothing but text, in its place."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())  # the gateway runs in this process
    try:
        user = await everything_hostile(site)
        token = site.admin.headers["authorization"].removeprefix("Bearer ")
        with mock.patch.dict(os.environ, {"LLMGATE_URL": site.url, "LLMGATE_TOKEN": token, "COLUMNS": "200"}):
            for arguments in (
                ("sessions", "list"), ("models", "list"), ("requests",), ("usage", "--by", "model"),
                ("activity", "list"), ("usage", "--by", "user"), ("users", "show", EVIL), ("requests", "-o", "jsonl"),
                ("models", "list", "-o", "json"), ("usage", "--by", "model", "--csv"),
            ):  # fmt: skip
                printed = await llmgate(*arguments)
                shown = (printed.out + printed.err).replace("\r\n", "\n")  # as RFC 4180 ends lines
                found = OBEYED.search(shown)
                where = found.start() if found else 0
                repelled(not found, f"llmgate {' '.join(arguments)!r} prints {shown[max(0, where - 30) :][:80]!r}")
                repelled(drawn(shown).title == "", "the title of the window is another one")
        assert user
    finally:
        structlog.reset_defaults()


def drawn(output: str) -> pyte.Screen:
    screen = pyte.Screen(200, 60)
    pyte.Stream(screen).feed(output.replace("\n", "\r\n"))
    return screen


def terminals_obey(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_HOSTILE", re.compile(r"(?!)"))


# -- spreadsheets -----------------------------------------------------------------------------------------


async def formulas(site: Site) -> None:
    await everything_hostile(site)
    by_model = (await site.admin.get("/admin/v1/usage", params={"group_by": "model"})).text
    assert FORMULA_MODEL in by_model
    for by in ("model", "user", "key"):
        answer = await site.admin.get("/admin/v1/usage", params={"group_by": by, "format": "csv"})
        assert answer.status_code == 200, answer.text
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert len(rows) > 1
        cells = [cell for row in rows[1:] for cell in row]
        for cell in cells:
            repelled(len(cell) < 2 or cell[0] not in "=+-@\t\r\n", f"a spreadsheet would carry out {cell!r}")
        widths = {len(row) for row in rows}
        assert len(widths) == 1, "a cell has become more than one"


def formulas_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "harmless", lambda cell: cell)


# -- names and headers ------------------------------------------------------------------------------------


async def hostile_names(site: Site) -> None:
    """What becomes a header, a file's name or a column is refused when it is made."""
    for bad in (EVIL, f"a{MIRROR}b", f"a{C1}b", "a\r\nSet-Cookie: x=1", "a\0b", "a\x1b[31m", "a\u2028b", "a\u200bb"):
        for noun, body in (
            ("users", {"name": bad, "password": PASSWORD}),
            ("keys", {"name": bad}),
            ("tokens", {"label": bad}),
            ("whitelist", {"cidr": "192.0.2.8", "label": bad}),
            ("upstreams", {"name": bad, "url": site.ollama.url}),
        ):
            answer = await site.admin.post(f"/admin/v1/{noun}", json=body)
            if answer.status_code == 201:
                made = answer.json()
                await site.admin.delete(f"/admin/v1/{noun}/{made.get('id') or made['name']}", params={"force": "true"})
            repelled(answer.status_code == 400, f"{noun} took {body}")


def any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_USER_NAME", re.compile(r".+", re.DOTALL))
    monkeypatch.setattr(checks, "label", lambda label: label)


async def headers_of_answers(site: Site) -> None:
    """What a client sends comes back in headers (its id, a file's name): never as another header."""
    mine = dict(site.user.headers)
    for sent in ("x\tSet-Cookie: a=b", "a" * 65, "../../x", "a;b", "a b", "a\x85b", "<script>"):
        raw = [(key.encode(), value.encode()) for key, value in mine.items()] + [
            (b"x-request-id", sent.encode("latin-1"))
        ]
        answer = await site.nobody.post("/api/chat", json={**CHAT, "stream": False}, headers=raw)
        got = answer.headers["x-request-id"]
        repelled(re.fullmatch(r"[A-Za-z0-9._-]+", got) is not None and sent not in got, f"{got!r} came back")
        assert "set-cookie" not in answer.headers


def any_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgate.daemon.gateway._CLIENT_ID", re.compile(r".+"))


ATTACKS: list[Attack[Site]] = [
    Attack("lines of the log", lines_of_the_log, log_as_it_comes, "one JSON object a line, in which nothing is obeyed"),
    Attack("commands on a terminal", commands_on_a_terminal, terminals_obey, "everything from a daemon is cleaned"),
    Attack("formulas", formulas, formulas_as_they_come, "cells are text"),
    Attack("hostile names", hostile_names, any_name, "names and labels are checked when they are made"),
    Attack("headers of answers", headers_of_answers, any_id, "a client's id has a form"),
]
