"""What is printed when the dashboard itself fails."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError
from rich.console import Console
from textual.worker import WorkerFailed

from llmgate.contexts.stored import Store
from llmgate.contexts.target import resolve
from llmgate.tui.app import Dashboard, Launch
from llmgate.tui.crash import REPORT, report
from tests.tui.harness import TICK

SECRET = "correct horse battery"


class Judged(BaseModel):
    password: int


def failing(password: str) -> None:
    raise RuntimeError("It broke.")


def test_a_report_holds_no_values() -> None:
    with pytest.raises(RuntimeError) as caught:
        failing(SECRET)
    text = report(WorkerFailed(caught.value))
    assert "in failing" in text
    assert "RuntimeError: It broke." in text
    assert text.endswith(REPORT)
    with pytest.raises(ValidationError) as judged:
        Judged.model_validate({"password": SECRET})
    assert SECRET in str(judged.value)
    assert SECRET not in report(judged.value)
    assert "Judged: password" in report(judged.value)


async def test_what_ends_the_dashboard_is_printed_without_what_was_in_memory(home: Path) -> None:
    target = resolve(Store(home), {}, url="http://127.0.0.1:9", context=None, token_file=None)
    app = Dashboard(Launch(Store(home), target, refresh=TICK, theme="llmgate-dark"))

    async def work(password: str) -> None:
        failing(password)

    async def run() -> None:
        async with app.run_test() as pilot:
            app.run_worker(work(SECRET))
            await pilot.pause()
            await pilot.pause()

    printed = io.StringIO()
    app.error_console = Console(file=printed, width=200)
    with pytest.raises(WorkerFailed):
        await run()
    app._print_error_renderables()
    assert "RuntimeError: It broke." in printed.getvalue()
    assert REPORT in printed.getvalue()
    assert SECRET not in printed.getvalue()
