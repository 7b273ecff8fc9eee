"""`make audit`: is there a published advisory about anything that is installed with the gateway?

Asks pip-audit about every package of a lock file, and npm about those of the chat page. An index that tells advisories
only of the newest version of a package (mirrors do) is asked for those, which is as good when the newest version is
the one that is locked. Each finding must be explained in deploy/audit-ignore.toml, and each explanation must still be
needed.

Run: ``python -m deploy.audit PIP_AUDIT LOCK``; ends with 1 when something is found that nobody has explained, or when
too little could be looked up.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
EXPLANATIONS: Final = ROOT / "deploy" / "audit-ignore.toml"
INDEX: Final = "pypi.org"
SECONDS: Final = 30.0
UNKNOWN: Final = 0.1
"""So large a part of the packages may be without an answer: new versions come out every day."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An advisory about a package; ``ids`` are all of its names."""

    package: str
    version: str
    ids: frozenset[str]
    fixed: str

    def __str__(self) -> str:
        fixed = f", fixed in {self.fixed}" if self.fixed else ", not fixed"
        return f"{self.package} {self.version}: {', '.join(sorted(self.ids))}{fixed}"


@dataclass(slots=True)
class Report:
    """``unknown``: packages that could not be looked up, and why."""

    packages: int = 0
    findings: list[Finding] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def add(self, found: Finding) -> None:
        """One advisory comes under several names: those of one package that share a name are the same."""
        for number, one in enumerate(self.findings):
            if one.package == found.package and one.ids & found.ids:
                self.findings[number] = Finding(one.package, one.version, one.ids | found.ids, one.fixed or found.fixed)
                return
        self.findings.append(found)


def finding_of(package: str, version: str, advisory: Mapping[str, Any], fixed: Iterable[str]) -> Finding:
    return Finding(package, version, frozenset({advisory["id"], *advisory["aliases"]}), ", ".join(fixed))


def newest(package: str) -> tuple[str, list[dict[str, Any]]]:
    """The newest version of a package that the index knows, and the advisories about it. Raises OSError."""
    url = urllib.parse.urlunsplit(("https", INDEX, f"/pypi/{package}/json", "", ""))
    with urllib.request.urlopen(url, timeout=SECONDS) as answer:
        told = json.load(answer)
    return told["info"]["version"], [one for one in told["vulnerabilities"] if not one["withdrawn"]]


def judge(told: Mapping[str, Any], look_up: Callable[[str], tuple[str, list[dict[str, Any]]]] = newest) -> Report:
    """What pip-audit told, with ``look_up`` for those packages that it could not look up itself."""
    report = Report(len(told["dependencies"]))
    for package in told["dependencies"]:
        name = package["name"]
        if "skip_reason" not in package:
            for advisory in package["vulns"]:
                report.add(finding_of(name, package["version"], advisory, advisory["fix_versions"]))
            continue
        version = package["skip_reason"].rpartition("(")[2].rstrip(")")
        try:
            latest, advisories = look_up(name)
        except (OSError, KeyError, ValueError) as error:
            report.unknown.append(f"{name} {version}: {error}")
            continue
        if latest != version:
            report.unknown.append(f"{name} {version}: the index tells only of {latest}")
            continue
        for advisory in advisories:
            report.add(finding_of(name, version, advisory, advisory["fixed_in"]))
    return report


def judge_page(told: Mapping[str, Any]) -> Report:
    """What ``npm audit --json`` told. A registry that takes no such questions tells something else."""
    if "vulnerabilities" not in told:
        return Report(unknown=[f"the chat page: {told.get('message') or 'the registry gave no answer'}"])
    report = Report(told["metadata"]["dependencies"]["total"])
    for name, package in told["vulnerabilities"].items():
        for advisory in package["via"]:
            if isinstance(advisory, Mapping):  # else it is the name of a package that has one
                ids = frozenset({advisory["url"].rpartition("/")[2]})
                report.add(Finding(name, advisory["range"], ids, ""))
    return report


def faults(report: Report, explained: Mapping[str, str]) -> list[str]:
    """What has no explanation, explanations that nothing needs, and that too little could be looked up."""
    known = {name for finding in report.findings for name in finding.ids}
    too_few = len(report.unknown) > UNKNOWN * report.packages
    return [
        *(f"found: {finding}" for finding in report.findings if not finding.ids & explained.keys()),
        *(f"explained, but not found any more: {name}" for name in explained if name not in known),
        *([f"only {report.packages - len(report.unknown)} of {report.packages} packages were looked up"] * too_few),
    ]


def asked(*command: str) -> dict[str, Any]:
    """The JSON that a program prints; both end with 1 when they find something."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    try:
        told: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(done.stderr or f"{command[0]} told nothing") from None
    return told


def main(pip_audit: str, lock: str) -> int:
    options = ["--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    report = judge(asked(pip_audit, *options, "--timeout", f"{SECONDS:.0f}", "-r", lock))
    page = judge_page(asked("sh", "web/npm.sh", "audit", "--json", "--omit=dev"))
    explained = tomllib.loads(EXPLANATIONS.read_text(encoding="utf-8"))
    print(
        f"{report.packages} packages of {lock}, advisories of {datetime.now(UTC):%Y-%m-%d}; {page.packages} of the page"
    )
    for one in (*report.unknown, *page.unknown):
        print(f"not looked up: {one}")
    for finding in page.findings:
        report.add(finding)
    for finding in report.findings:
        if reason := next((explained[name] for name in finding.ids if name in explained), None):
            print(f"explained: {finding}\n    {reason}")
    wrong = faults(report, explained)
    print("\n".join(wrong) if wrong else "Nothing else was found.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
