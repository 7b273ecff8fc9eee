"""What is made of the answers about advisories."""

from __future__ import annotations

import tomllib
from typing import Any

from deploy.audit import EXPLANATIONS, Finding, Report, faults, judge, judge_page

ADVISORY = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}


def told(*packages: dict[str, Any]) -> dict[str, Any]:
    return {"dependencies": list(packages)}


def skipped(name: str, version: str) -> dict[str, Any]:
    return {"name": name, "skip_reason": f"Dependency not found: {name} ({version})"}


def test_a_finding_without_an_explanation_is_a_fault() -> None:
    report = judge(
        told({"name": "a", "version": "1.0", "vulns": [ADVISORY]}, {"name": "b", "version": "1", "vulns": []})
    )
    assert faults(report, {}) == ["found: a 1.0: CVE-1, PYSEC-1, fixed in 2.0"]
    assert faults(report, {"CVE-1": "it is not used"}) == []
    assert faults(report, {"CVE-1": "", "CVE-2": ""}) == ["explained, but not found any more: CVE-2"]


def test_what_the_index_does_not_tell_of_a_version_is_asked_of_the_newest() -> None:
    new = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fixed_in": []}
    other = {"id": "CVE-1", "aliases": ["PYSEC-1", "GHSA-1"], "fixed_in": []}
    report = judge(told(skipped("a", "1.0")), lambda name: ("1.0", [new, other]))
    assert report.findings == [Finding("a", "1.0", frozenset({"PYSEC-1", "CVE-1", "GHSA-1"}), "")]
    assert report.unknown == []


def test_of_an_older_version_nothing_is_known() -> None:
    report = judge(told(skipped("a", "1.0")), lambda name: ("1.1", []))
    assert report.unknown == ["a 1.0: the index tells only of 1.1"]
    assert faults(report, {}) == ["only 0 of 1 packages were looked up"]


def test_no_answer_is_no_good_news() -> None:
    def fail(name: str) -> tuple[str, list[dict[str, Any]]]:
        raise OSError("no network")

    report = judge(told(skipped("a", "1.0")), fail)
    assert report.unknown == ["a 1.0: no network"]
    assert judge_page({"message": "405 Method Not Allowed"}).unknown == ["the chat page: 405 Method Not Allowed"]
    few = Report(packages=100, unknown=["one"] * 10)
    assert faults(few, {}) == []


def test_what_npm_tells_is_read() -> None:
    via = ["other", {"url": "https://example.com/advisories/GHSA-1", "range": "<2"}]
    report = judge_page({"vulnerabilities": {"a": {"via": via}}, "metadata": {"dependencies": {"total": 7}}})
    assert report.packages == 7
    assert [str(finding) for finding in report.findings] == ["a <2: GHSA-1, not fixed"]


def test_each_explanation_says_something() -> None:
    explained = tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8"))
    assert [name for name, reason in explained.items() if len(reason.split()) < 8] == []
