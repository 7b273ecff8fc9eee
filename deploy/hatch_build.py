"""Runs when a package is built: without the chat page there is none, and each has the list of what it needs.

The list is a software bill of materials as CycloneDX (ECMA-424) writes it, in JSON: the packages of requirements.lock
with the hashes that are installed, and those that were bundled into the chat page. It is in the wheel (PEP 770) and
beside it.
"""

from __future__ import annotations

import base64
import json
import re
import uuid
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE: Final = "llmgate/daemon/static"
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\\n]+?))? *\\?$")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_WANTED_BY: Final = re.compile(r"^    # (?:via)? *([A-Za-z0-9._-]+)?")
_BUNDLED: Final = re.compile(r"^## (\S+) - (\S+) \(", re.MULTILINE)

Component = dict[str, Any]


class PageHook(BuildHookInterface[Any]):
    """Refuses to make a package whose users would find no page. An editable one may be without."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Raises RuntimeError when the page was not built."""
        root = Path(self.root)
        if version == "editable":
            return
        if not (root / PAGE / "index.html").is_file():
            raise RuntimeError("The chat page is not built. Build it with: make page")
        if self.target_name == "wheel":
            name, number = self.metadata.core.raw_name, self.metadata.version
            file = Path(self.directory) / f"{name}-{number}.cdx.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(bill_of_materials(root, name, number), indent=1) + "\n", encoding="utf-8")
            build_data["sbom_files"].append(str(file))


def bill_of_materials(root: Path, name: str, version: str) -> dict[str, Any]:
    """Of the package of this name and version; ``root`` has the lock files and the page. The same for the same files.

    Raises RuntimeError when the page has a package that its lock file does not know.
    """
    installed, wanted_by = locked((root / "requirements.lock").read_text(encoding="utf-8"))
    page = bundled(
        (root / PAGE / "licenses.md").read_text(encoding="utf-8"),
        json.loads((root / "web/package-lock.json").read_text(encoding="utf-8")),
    )
    whole = {"type": "application", "bom-ref": f"pkg:pypi/{name}@{version}", "name": name, "version": version}
    refs = {one["name"]: one["bom-ref"] for one in installed} | {name: whole["bom-ref"]}
    needs: dict[str, list[str]] = {ref: [] for ref in refs.values()}
    for package, parents in wanted_by.items():
        for parent in parents:
            needs[refs[parent]].append(refs[package])
    needs[whole["bom-ref"]] += [one["bom-ref"] for one in page]
    bill = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {**whole, "purl": whole["bom-ref"], "licenses": [{"license": {"id": "Apache-2.0"}}]},
        },
        "components": [*installed, *page],
        "dependencies": [{"ref": ref, "dependsOn": sorted(others)} for ref, others in sorted(needs.items())],
    }
    return {**bill, "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(bill, sort_keys=True))}"}


def locked(lock: str) -> tuple[list[Component], dict[str, list[str]]]:
    """The packages of a lock file as ``uv pip compile`` writes it, and which of them, or we, want each."""
    found: list[Component] = []
    wanted_by: dict[str, list[str]] = {}
    for line in lock.splitlines():
        if pinned := _PINNED.match(line):
            name, version, marker = pinned.groups()
            found.append(_component(f"pkg:pypi/{name}@{version}", name, version))
            wanted_by[name] = []
            if marker:
                found[-1]["properties"] = [{"name": "llmgate:installed-if", "value": marker}]
        elif content := _HASH.search(line):
            found[-1].setdefault("hashes", []).append({"alg": "SHA-256", "content": content[1]})
        elif (parent := _WANTED_BY.match(line)) and parent[1]:
            wanted_by[found[-1]["name"]].append(parent[1])
    return found, wanted_by


def bundled(licenses: str, lock: dict[str, Any]) -> list[Component]:
    """The packages in the page, whose licenses the bundler has written down, with the hashes of npm's lock file."""
    known = {(path.rpartition("node_modules/")[2], one.get("version")): one for path, one in lock["packages"].items()}
    found = []
    for name, version in sorted(set(_BUNDLED.findall(licenses))):
        if (name, version) not in known:
            raise RuntimeError(f"{name} {version} is in the chat page and not in web/package-lock.json.")
        package = known[name, version]
        component = _component(f"pkg:npm/{quote(name)}@{version}", name, version)
        algorithm, _, digest = package["integrity"].partition("-")
        component["hashes"] = [
            {"alg": algorithm.upper().replace("SHA", "SHA-"), "content": base64.b64decode(digest).hex()}
        ]
        component["licenses"] = [{"license": {"id": package["license"]}}]
        found.append(component)
    return found


def _component(purl: str, name: str, version: str) -> Component:
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
