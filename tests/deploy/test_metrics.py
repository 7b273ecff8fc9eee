"""Dashboard and alerts are about numbers that a gateway really exports."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from llmgate.config import QueueSettings
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.connections import Refusal
from llmgate.daemon.queue.ticket import LEVELS, Outcome
from tests.chat.harness import PASSWORD, log_in
from tests.deploy.promql import OF_EVERY_TARGET, grouped_by, named_in, selectors
from tests.fakes import FakeOllama, Script
from tests.gateway.harness import CHAT, Running, run_gateway, settings_for, upstream_for

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = DEPLOY / "grafana" / "llmgate.json"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
HISTORIES = Path(__file__).with_name("alerts_test.yml")
VALUES: dict[str, set[str]] = {
    "outcome": set(Outcome),
    "result": {"ok", "failed", "throttled"},
    "kind": {"input", "output"},
}
"""Labels whose values are closed sets, as far as the files name values of them."""


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> Iterator[tuple[str, str, str]]:
    """Where it stands, the expression, and the texts that show its labels."""
    for rule in rules():
        yield rule["alert"], rule["expr"], " ".join(rule["annotations"].values())
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


async def everything_happens(gateway: Running, ollama: FakeOllama) -> None:
    """Let each metric have a sample: one that counts what never happened shows no labels."""
    ollama.script(Script(gate="go"))
    first = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}))
    await ollama.request(0)
    second = asyncio.create_task(gateway.post("/api/chat", {**CHAT, "stream": False}, **{"x-llmgate-priority": "5"}))
    await gateway.waiting(1)
    await gateway.until(lambda: any(type(event).__name__ == "TicketPromoted" for event in gateway.events))
    ollama.release("go")
    assert [(await one).status_code for one in (first, second)] == [200, 200]
    assert (await gateway.post("/api/chat", CHAT, authorization="Bearer no")).status_code == 401
    await log_in(gateway)
    body = {"name": "ann", "password": PASSWORD + "x"}
    assert (await gateway.client.post("/gate/auth/login", json=body)).status_code == 401
    gateway.services.connections.refused(Refusal.ADDRESS)


Counted = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""Name and labels of a sample, and its value."""


async def scraped(gateway: Running) -> Counted:
    admin = await gateway.new_key("prometheus", role=Role.ADMIN)
    answer = await gateway.client.get("/metrics", headers={"authorization": f"Bearer {admin}"})
    assert answer.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


@pytest.fixture
async def fresh(tmp_path: Path) -> Counted:
    """What the first scrape of a daemon gets that nobody has asked anything."""
    async with (
        FakeOllama() as ollama,
        run_gateway(settings_for(tmp_path / "fresh", [upstream_for(ollama)])) as gateway,
    ):
        return await scraped(gateway)


@pytest.fixture
async def exported(tmp_path: Path) -> dict[str, set[str]]:
    """Every name that /metrics of a running gateway has, with its labels."""
    async with FakeOllama() as ollama:
        queue = QueueSettings(settle_ms=0, aging_seconds=0.05)
        async with run_gateway(settings_for(tmp_path / "state", [upstream_for(ollama)], queue=queue)) as gateway:
            await everything_happens(gateway, ollama)
            samples = await scraped(gateway)
    found: dict[str, set[str]] = {"up": set()}
    for name, labels in samples:
        found.setdefault(name, set()).update(label for label, _ in labels)
    return found


async def test_every_metric_and_label_that_is_used_exists(exported: dict[str, set[str]]) -> None:
    wrong = []
    for where, expression, texts in expressions():
        used = list(selectors(expression))
        assert used, f"{where} reads nothing of llmgate"
        wrong += [f"{where}: {one.metric} is not exported" for one in used if one.metric not in exported]
        known = set(OF_EVERY_TARGET).union(*(exported.get(one.metric, set()) for one in used))
        for one in used:
            of_this = exported.get(one.metric, set()) | OF_EVERY_TARGET
            wrong += [f"{where}: {one.metric} has no {name}" for name, _, _ in one.matchers if name not in of_this]
        wrong += [f"{where}: nothing has {name}" for name in grouped_by(expression) - known]
        shown = grouped_by(expression) or known
        wrong += [f"{where}: {name} is not there to be shown" for name in named_in(texts) - shown]
    assert wrong == []


def test_values_of_labels_are_words_of_ours() -> None:
    wrong = [
        f"{where}: {name}={value}"
        for where, expression, _ in expressions()
        for selector in selectors(expression)
        for name, _, values in selector.matchers
        for value in values.split("|")
        if name in VALUES and value not in VALUES[name]
    ]
    assert wrong == []


async def test_the_names_in_the_documents_exist(exported: dict[str, set[str]]) -> None:
    documents = (DEPLOY.parent / "docs").glob("*.md")
    named = {name for one in documents for name in re.findall(r"\bllmgate_[a-z_]+\b", one.read_text(encoding="utf-8"))}
    bases = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in exported}
    # The distribution's name in file names, volumes of Docker, and a database.
    no_metrics = {"llmgate_server", "llmgate_state", "llmgate_database", "llmgate_new"}
    assert named - set(exported) - bases - no_metrics == set()


def test_each_alert_says_what_is_wrong_and_what_to_do() -> None:
    for rule in rules():
        assert rule["alert"].startswith("LLMGate")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "todo"}
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    document = (DEPLOY.parent / "docs" / "deployment.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in document] == []


def test_prometheus_takes_the_alerts_and_they_fire_when_they_should(tmp_path: Path) -> None:
    """``alerts_test.yml`` has a history for each, and when it must and must not fire."""
    (tmp_path / "alerts.yml").symlink_to(ALERTS)
    (tmp_path / HISTORIES.name).write_text(HISTORIES.read_text(encoding="utf-8"), encoding="utf-8")
    for arguments in (["check", "rules", "alerts.yml"], ["test", "rules", HISTORIES.name]):
        done = subprocess.run(["promtool", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    document = yaml.safe_load(HISTORIES.read_text(encoding="utf-8"))
    tried = {one["alertname"] for case in document["tests"] for one in case["alert_rule_test"] if one.get("exp_alerts")}
    assert tried == {rule["alert"] for rule in rules()}


def test_what_a_fresh_daemon_counts_is_there_at_0(fresh: Counted) -> None:
    """Else an alert would not see the first burst: nothing has increased of what begins at 5."""
    of_requests = {
        frozenset({("protocol", protocol), ("level", str(level)), ("outcome", outcome.value)})
        for protocol, level, outcome in itertools.product(("ollama", "openai", "anthropic", "chat"), LEVELS, Outcome)
    }
    assert {labels for name, labels in fresh if name == "llmgate_requests_total"} == of_requests
    codes = {dict(labels)["code"] for name, labels in fresh if name == "llmgate_refused_requests_total"}
    assert {"store_unavailable", "unauthenticated", "model_not_found", "internal_error", "client_gone"} < codes
    assert len(codes) < 60
    assert {value for (name, _), value in fresh.items() if name.endswith("requests_total")} == {0.0}


def test_the_histories_of_the_alerts_begin_like_a_fresh_daemon(fresh: Counted) -> None:
    document = yaml.safe_load(HISTORIES.read_text(encoding="utf-8"))
    begun = []
    for case in document["tests"]:
        for history in case["input_series"]:
            name, _, rest = history["series"].partition("{")
            labels = frozenset(re.findall(r'(\w+)="([^"]*)"', rest)) - {("instance", "a"), ("instance", "b")}
            if name.endswith("_total"):
                begun.append(name)
                assert re.match(r"0[x+]", history["values"]), f"{history['series']} has no beginning"
                assert fresh.get((name, labels)) == 0.0, f"{history['series']} is not there from the start"
    assert len(set(begun)) == 4


def test_panels_lie_beside_each_other_and_read_one_data_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)
    identifiers = [panel["id"] for panel in panels()]
    assert len(set(identifiers)) == len(identifiers)
