"""What the daemon tells of itself and of its machine."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from llmgate import __version__
from llmgate.daemon import machine as machine_module
from llmgate.daemon.machine import Gpu, Machine
from llmgate.daemon.store import facts
from llmgate.daemon.store.database import Database
from llmgate.errors import StoreUnavailable
from tests.admin.harness import Site, problem
from tests.gateway.harness import CHAT
from tests.observer.harness import following


async def system(site: Site) -> dict[str, Any]:
    answer = await site.admin.get("/admin/v1/system")
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program of this name, first on the PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def test_everything_is_told(site: Site, tmp_path: Path) -> None:
    await site.gateway.post("/api/chat", CHAT)
    assert (await site.login("root", "wrong")).status_code == 401
    async with following(site.admin):
        told = await system(site)
    assert (told["ready"], told["not_ready"], told["version"]) == (True, [], __version__)
    assert told["versions"]["python"].startswith("3.")
    assert told["versions"]["database"].startswith("3.")
    assert told["versions"]["broker"] is None
    machine = told["machine"]
    assert machine["process"]["pid"] == os.getpid()
    assert machine["process"]["memory"] > 10_000_000
    assert 0 < machine["process"]["descriptors"] < machine["process"]["descriptors_limit"]
    assert machine["cpu"]["cores"] == psutil.cpu_count()
    assert len(machine["cpu"]["load"]) == 3
    assert 0 < machine["memory"]["used"] < machine["memory"]["total"]
    assert machine["disk"]["path"] == str(tmp_path / "state")
    assert machine["disk"]["total"] > 0
    assert told["database"]["kind"] == "sqlite"
    assert told["database"]["size"] > 10_000
    assert told["database"]["revision"].startswith("00")
    assert told["events"] == {"clients": 1, "dropped": 0}
    assert told["upstreams"] == {"usable": 1, "total": 1}
    assert told["daemons"] == []
    (hour,) = told["failed_logins"]
    assert (hour["failed"], hour["throttled"]) == (1, 0)
    problem(await site.user.get("/admin/v1/system"), 403, "forbidden")


async def test_gpus_are_those_of_nvidia_smi(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = tmp_path / "calls"
    lines = "NVIDIA RTX 4090, 87, 24564, 20011, 61\\nTesla, rare, [N/A], 16384, [N/A], 40\\nnonsense\\n"
    nvidia_smi(tmp_path, monkeypatch, f'echo "$@" >> {calls}; printf "{lines}"')
    first, second = (await system(site))["gpus"]
    assert first == {
        "name": "NVIDIA RTX 4090",
        "percent": 87,
        "memory_total": 24564 * 1024**2,
        "memory_used": 20011 * 1024**2,
        "temperature": 61,
    }
    assert (second["name"], second["percent"], second["memory_used"]) == ("Tesla, rare", None, None)
    await system(site)
    (asked,) = calls.read_text().splitlines()  # the second answer is the first one's
    assert "--query-gpu=name,utilization.gpu" in asked


async def test_without_a_gpu_the_list_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await Machine(tmp_path).gpus() == []
    nvidia_smi(tmp_path, monkeypatch, "echo broken, 1, 2, 3, 4; exit 9")
    assert await Machine(tmp_path).gpus() == []
    (tmp_path / "nvidia-smi").write_text("no program at all")
    assert await Machine(tmp_path).gpus() == []


async def test_one_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "GPU_SECONDS", 0.1)
    nvidia_smi(tmp_path, monkeypatch, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    async with asyncio.timeout(5):
        assert await Machine(tmp_path).gpus() == []
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


async def test_a_new_answer_is_asked_for_when_the_old_one_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    machine = Machine(tmp_path, clock=lambda: now[0])
    nvidia_smi(tmp_path, monkeypatch, "echo a, 1, 2, 3, 4")
    both = await asyncio.gather(machine.gpus(), machine.gpus())
    assert [gpu.name for gpus in both for gpu in gpus] == ["a", "a"]
    nvidia_smi(tmp_path, monkeypatch, "echo b, 1, 2, 3, 4")
    assert await machine.gpus() == [Gpu("a", 1, 2 * 1024**2, 3 * 1024**2, 4)]
    now[0] = 2.1
    assert [gpu.name for gpu in await machine.gpus()] == ["b"]


async def test_a_disk_that_hangs_costs_one_thread_and_no_answer(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, started = threading.Event(), [0]

    def hangs(_: str) -> None:
        started[0] += 1
        free.wait(20)
        raise OSError("gone")

    monkeypatch.setattr(machine_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(psutil, "disk_usage", hangs)
    try:
        assert (await system(site))["machine"] is None
        assert (await system(site))["machine"] is None
        assert started == [1]
    finally:
        free.set()


async def test_while_the_database_is_away_the_rest_is_told(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(tx: object) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(facts, "read", away)
    told = await system(site)
    assert told["database"] == {"kind": "sqlite", "size": None, "revision": None}
    assert told["versions"]["database"] is None
    assert told["machine"] is not None


async def test_the_facts_of_both_databases(database: Database) -> None:
    async with database.read() as tx:
        found = await facts.read(tx)
    assert found.size > 10_000
    assert found.revision is not None
    assert found.version[0].isdigit()


# Health


async def test_health_is_for_everybody_and_says_why_not(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    live = await site.nobody.get("/health/live")
    assert (live.status_code, live.json()) == (200, {"status": "live"})
    ready = await site.nobody.get("/health/ready")
    assert (ready.status_code, ready.json()["status"], ready.json()["reasons"]) == (200, "ready", [])
    assert (await site.nobody.head("/health/ready")).status_code == 200

    async def away() -> None:
        raise StoreUnavailable("The database does not answer.")

    monkeypatch.setattr(site.gateway.services.database, "ping", away)
    ready = await site.nobody.get("/health/ready")
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["The database does not answer."])
    assert (await site.nobody.get("/health/live")).status_code == 200
    assert (await system(site))["not_ready"] == ["The database does not answer."]


async def test_metrics_count_logins_and_changes(site: Site) -> None:
    for _ in range(6):
        await site.login("root", "wrong")
    await site.made("users", name="bob", password="correct horse battery")
    text = (await site.admin.get("/metrics")).text
    assert 'llmgate_logins_total{result="failed"} 5.0' in text
    assert 'llmgate_logins_total{result="throttled"} 1.0' in text
    assert 'llmgate_logins_total{result="ok"} 2.0' in text
    assert 'llmgate_changes_total{action="user.create"} 1.0' in text
    assert 'llmgate_upstream_up{pool="fake",upstream="fake"} 1.0' in text
    assert f'version="{__version__}"' in text
    assert (await site.user.get("/metrics")).status_code == 403
    assert (await site.nobody.get("/metrics")).status_code == 401
