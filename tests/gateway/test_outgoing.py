"""An answer on its way out, and those that look after all that are: their decisions, without a server."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.types import Message, Send

from llmgate.daemon import outgoing
from llmgate.daemon.auth.authenticator import Authenticator
from llmgate.daemon.auth.principals import Principal, PrincipalKind, Role
from llmgate.daemon.http import ABORT
from llmgate.daemon.open_answers import OpenAnswer, OpenAnswers
from llmgate.daemon.outgoing import Outgoing
from llmgate.errors import AuthenticationFailed, LLMGateError

ADA = Principal(PrincipalKind.SESSION, "u1", "ada", Role.USER, 3)
PROMISED = 5.0


def answer_to(send: Send, cut: list[str], answers: OpenAnswers) -> Outgoing:
    scope = {"type": "http", "path": "/somewhere", "state": {}, "extensions": {ABORT: lambda: cut.append("cut")}}
    return Outgoing(scope, send, answers, outgoing.anybody, "r1")


@pytest.mark.parametrize("is_over", [False, True])
async def test_an_answer_that_has_gone_out_is_not_cut(is_over: bool) -> None:
    """Its connection may be somebody else's by now: a proxy keeps it, and has sent the next request."""
    cut: list[str] = []
    answers = OpenAnswers(cast("Authenticator", SimpleNamespace(changed=asyncio.Event())), lambda: ())

    async def send(_: Message) -> None:
        pass

    async def again() -> Principal:
        return ADA

    answer = answer_to(send, cut, answers)
    answer.belongs_to(ADA, again)
    (entry,) = answers._entered
    await answer.send({"type": "http.response.start", "status": 200, "headers": []})
    await answer.send({"type": "http.response.body", "body": b"a part", "more_body": True})
    await answer.send({"type": "http.response.body", "body": b"the rest", "more_body": False})
    if is_over:
        answer.over()
    entry.end(AuthenticationFailed())
    assert cut == []


async def test_who_goes_on_sending_to_nobody_lets_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "STALL_SECONDS", 0.01)
    cut: list[str] = []

    async def send(_: Message) -> None:
        if not cut:
            await asyncio.Event().wait()

    answer = answer_to(send, cut, cast("OpenAnswers", None))
    await answer.send({"type": "http.response.body", "body": b"x", "more_body": True})
    assert cut == ["cut"]
    turns = 0

    async def somebody_else() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(somebody_else())
    for _ in range(100):
        await answer.send({"type": "http.response.body", "body": b"x", "more_body": True})
    other.cancel()
    assert turns >= 99
    assert cut == ["cut"]


async def test_a_defect_in_one_answer_does_not_let_the_others_go_on() -> None:
    changed, ended = asyncio.Event(), asyncio.Event()

    async def broken() -> None:
        raise RuntimeError

    async def refused() -> None:
        raise AuthenticationFailed

    def end(_: LLMGateError) -> None:
        ended.set()

    first = [OpenAnswer("r1", ADA, broken, end)]
    answers = OpenAnswers(cast("Authenticator", SimpleNamespace(changed=changed)), lambda: first)
    running = asyncio.create_task(answers.run())
    with answers.entered(OpenAnswer("r2", ADA, refused, end)):
        for _ in range(2):
            changed.set()
            async with asyncio.timeout(PROMISED):
                await ended.wait()
            ended.clear()
    assert not running.done()
    running.cancel()
