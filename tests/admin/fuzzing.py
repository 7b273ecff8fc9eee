"""Schemathesis against one of our served documents: many requests, and what in the answers is not as described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
from schemathesis.engine import events, from_schema

_OFF = {"enabled": False}
_CHECKS = {
    # Whether text is a name, a network or a model is more than a JSON schema says: valid data may be refused.
    "positive_data_acceptance": _OFF,
    # Who may do what is compared with a table in test_who_may.
    "ignored_auth": _OFF,
    "object_level_authorization": _OFF,
}


@dataclass(slots=True)
class Report:
    """What was asked, by operation and status, and what is wrong, each with a request that shows it."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)

    def told(self) -> str:
        """All faults as text, empty when there are none."""
        return "\n\n".join(f"{name}\n{shown}" for name, shown in sorted(self.faults.items()))

    def statuses(self) -> set[int]:
        return {status for _, status in self.answers}

    def operations(self) -> set[str]:
        return {operation for operation, _ in self.answers}


def attack(
    url: str,
    path: str,
    *,
    reader: Mapping[str, str],
    headers: Callable[[], Mapping[str, str]],
    examples: int,
    systematic: bool,
) -> Report:
    """Ask every operation of the document at ``url + path``. Blocks; the same arguments ask the same questions.

    ``reader`` are the headers with which the document is read, ``headers()`` those of the next request. ``examples``
    random requests are sent to each operation, and if ``systematic`` each bound, missing field, wrong type and method.
    """
    document = httpx.get(url + path, headers=dict(reader), trust_env=False, timeout=10).raise_for_status().json()
    _loosen_tuples(document)
    config = schemathesis.Config.from_dict(_configuration(url + document["servers"][0]["url"], examples, systematic))
    schema = schemathesis.openapi.from_dict(document, config=config)

    @schema.auth(refresh_interval=None)
    class Identify:
        """The caller of each request."""

        def get(self, case: Any, context: Any) -> Mapping[str, str]:
            return headers()

        def set(self, case: Any, data: Mapping[str, str], context: Any) -> None:
            case.headers = {**(case.headers or {}), **data}

    report = Report()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _note(report, event.recorder)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            report.faults[repr(event)] = ""
    return report


def _configuration(url: str, examples: int, systematic: bool) -> dict[str, Any]:
    return {
        "base-url": url,
        "seed": 1,
        "continue-on-failure": True,
        "request-timeout": 10.0,
        "max-stream-events": 2,
        "workers": 1,
        "generation": {
            "deterministic": True,
            "max-examples": examples,
            "database": "none",
            "no-shrink": True,
            "with-security-parameters": False,
        },
        "checks": _CHECKS,
        "phases": {"coverage": {"enabled": systematic}, "stateful": _OFF},
    }


def _note(report: Report, recorder: Any) -> None:
    for interaction in recorder.interactions.values():
        if interaction.response is not None:
            report.answers[recorder.label, interaction.response.status_code] += 1
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                name = f"{recorder.label}: {type(failure).__name__}: {failure.message}"
                report.faults.setdefault(name, check.failure_info.code_sample)


def _loosen_tuples(part: Any) -> None:
    """Schemathesis cannot judge ``prefixItems`` inside of other schemas."""
    if isinstance(part, dict):
        if "prefixItems" in part:
            part["items"] = {"anyOf": part.pop("prefixItems")}
        for inner in part.values():
            _loosen_tuples(inner)
    elif isinstance(part, list):
        for inner in part:
            _loosen_tuples(inner)
