"""The daemon and its machine, as the dashboard shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from llmgate import __version__, schemas
from llmgate.tui.screens.system import System
from llmgate.tui.screens.system_panes import PANES, daemon, gpus, logins, machine, process, unmeasured, work
from llmgate.tui.widgets.panel import Pane
from llmgate.tui.widgets.spark import bar
from tests.admin.harness import Site
from tests.tui.harness import Hand, dashboard, parses

NOW = datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
GIB = 2**30


async def opened(hand: Hand) -> System:
    await hand.go("system")
    return await hand.filled(System)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_daemon_is_told_of_at_any_size(site: Site, home: Path, size: tuple[int, int]) -> None:
    await site.login("root", "not the password")
    async with dashboard(site, home, size=size) as hand:
        await opened(hand)
        await hand.seen("● ready")
        for text in (
            f"llmgate {__version__}", "sqlite", "cpu ", "memory ", "disk ", "pid ", "load ", "of 1 usable", "memory, ",
            "0 dropped", "1 failed, 0 throttled", "nvidia-smi", "This daemon works alone",
        ):  # fmt: skip
            await hand.seen(text)
        assert all(cell_len(line) <= size[0] for line in hand.lines)


async def test_it_is_asked_again_while_it_is_seen(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(System, "every", 0.1)
    listing = await opened(hand)
    await hand.until(lambda: listing.loads > 2, "another answer")
    await hand.site.login("ada", "not the password")
    await hand.seen("1 failed")


async def test_the_description_of_the_api_has_its_address(hand: Hand) -> None:
    listing = await opened(hand)
    await hand.press("o")
    await hand.seen(f"{hand.site.url}/admin/v1/openapi.json")
    assert parses(hand.twin) == "openapi"
    assert parses(f"llmgate {listing.lists}") == "system show"
    answer = await hand.site.admin.get("/admin/v1/openapi.json")
    assert answer.json()["openapi"].startswith("3.1")


def told(**more: Any) -> schemas.System:
    """A daemon that does well, but for what is said."""
    facts: dict[str, Any] = {
        "version": "0.1.0",
        "started_at": NOW - timedelta(days=3, hours=2),
        "uptime": 74 * 3600,
        "ready": True,
        "not_ready": [],
        "queue_backend": "rabbitmq",
        "queue_state": "connected",
        "versions": {"llmgate": "0.1.0", "python": "3.12.7", "platform": "Linux", "database": "16.4", "broker": "4.1"},
        "machine": {
            "cpu": {"percent": 23.0, "cores": 16, "load": [3.1, 2.8, 2.2]},
            "memory": {"total": 64 * GIB, "used": 62 * GIB},
            "disk": {"path": "/var/lib/llmgate", "total": 500 * GIB, "used": 420 * GIB, "free": 80 * GIB},
            "process": {"pid": 8, "memory": 190 * 2**20, "threads": 12, "descriptors": 60, "descriptors_limit": 1024},
        },
        "gpus": [],
        "database": {"kind": "postgresql", "size": 212 * 2**20, "revision": "0002"},
        "usage": {"pending": 0, "dropped": 0},
        "events": {"clients": 2, "dropped": 0},
        "failed_logins": [],
        "upstreams": {"usable": 2, "total": 2},
        "daemons": [],
    }
    return schemas.System.model_validate({**facts, **more})


def text_of(pane: Pane) -> str:
    return "\n".join("".join(text for text, _ in line).rstrip() for line in pane.lines)


def looks(pane: Pane, word: str) -> set[str]:
    """How the lines look that hold this word."""
    return {look for line in pane.lines if word in "".join(text for text, _ in line) for _, look in line}


def test_what_is_nearly_used_up_stands_out_and_is_told_in_figures() -> None:
    pane = machine(told(), NOW, 36, 4)
    assert text_of(pane).splitlines()[:3] == [
        f"cpu     {''.join(bar(23, 100, 10))}  23 % of 16 cores",
        f"memory  {''.join(bar(97, 100, 10))}  97 % of 64.0 GiB",
        f"disk    {''.join(bar(84, 100, 10))}  84 % of 500 GiB",
    ]
    assert "bad" in looks(pane, "memory")
    assert "warn" in looks(pane, "disk")
    assert pane.remark == "load 3.10 2.80 2.20"


def test_what_the_system_does_not_tell_is_said() -> None:
    silent = told(machine=None)
    for paint in (machine, process):
        assert text_of(paint(silent, NOW, 36, 4)) == "The system does not tell."


def test_reasons_for_not_being_ready_come_first() -> None:
    pane = daemon(told(ready=False, not_ready=["The database does not answer.", "\x1b[31mred"]), NOW, 60, 3)
    assert pane.title == "Daemon: NOT READY"
    assert text_of(pane).splitlines()[:2] == ["The database does not answer.", "\\u001b[31mred"]
    without = told(database={"kind": "sqlite", "size": None, "revision": None})
    assert "NO ANSWER" in text_of(daemon(without, NOW, 60, 9))


def test_work_that_was_lost_stands_out() -> None:
    pane = work(
        told(
            queue_state="degraded",
            usage={"pending": 1_200, "dropped": 3},
            events={"clients": 0, "dropped": 9},
            upstreams={"usable": 0, "total": 2},
        ),
        NOW,
        60,
        5,
    )
    assert "1,200 to write, 3 dropped" in text_of(pane)
    assert all("bad" in looks(pane, word) for word in ("upstreams", "queue", "usage"))
    assert "warn" in looks(pane, "events")
    assert "warn" in looks(work(told(upstreams={"usable": 1, "total": 2}), NOW, 60, 5), "upstreams")


def test_gpus_have_two_lines_each_where_there_is_room() -> None:
    card = {"name": "NVIDIA RTX 4090", "percent": 87.0, "memory_total": 24 * GIB, "memory_used": 21 * GIB}
    seen = told(
        gpus=[{**card, "temperature": 71.0}, {**card, "memory_used": None, "percent": None, "temperature": None}]
    )
    roomy, narrow = text_of(gpus(seen, NOW, 44, 4)), text_of(gpus(seen, NOW, 44, 2))
    assert (len(roomy.splitlines()), len(narrow.splitlines())) == (4, 2)
    assert "87 % busy" in roomy
    assert "71 °C" in roomy
    assert "not known" in narrow


def test_the_cpu_is_not_told_before_it_was_measured() -> None:
    assert text_of(machine(unmeasured(told()), NOW, 36, 4)).splitlines()[0] == "cpu     … of 16 cores"
    assert unmeasured(told(machine=None)).machine is None


def test_failed_logins_are_those_since_the_daemon_was_started() -> None:
    assert logins(told(), NOW, 36, 4).remark == "24 h"
    assert logins(told(started_at=NOW - timedelta(hours=2)), NOW, 36, 4).remark == "since 12:30"


def test_failed_logins_are_told_hour_by_hour() -> None:
    hours = [
        {"hour": NOW.replace(minute=0) - timedelta(hours=back), "failed": failed, "throttled": throttled}
        for back, failed, throttled in ((30, 9, 0), (5, 2, 0), (1, 8, 4))
    ]
    lines = text_of(logins(told(failed_logins=hours), NOW, 36, 4)).splitlines()
    assert lines[1][-2] == "█"
    assert lines[2] == "19 failed, 4 throttled"
    assert lines[3].endswith("12 from 13:00 on")
    assert text_of(logins(told(), NOW, 36, 4)) == "● none"


@pytest.mark.parametrize("width", [10, 22, 36, 76])
@pytest.mark.parametrize("height", [1, 3, 12])
def test_no_pane_is_wider_or_higher_than_its_place(width: int, height: int) -> None:
    card = {"name": "G" * 90, "percent": 100.0, "memory_total": 24 * GIB, "memory_used": 24 * GIB, "temperature": 99.0}
    seen = told(
        gpus=[card] * 8,
        not_ready=["x" * 200, "y"],
        failed_logins=[{"hour": NOW, "failed": 10**9, "throttled": 10**9}],
        usage={"pending": 10**12, "dropped": 10**12},
    )
    for paint in PANES.values():
        pane = paint(seen, NOW, width, height)
        assert len(pane.lines) <= height
        assert all(cell_len("".join(text for text, _ in line)) <= width for line in pane.lines), paint
