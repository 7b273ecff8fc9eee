"""The list of what is in the package: exactly what is locked, with the hashes, and what the page was bundled from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deploy.hatch_build import PAGE, bill_of_materials, bundled, locked

ROOT = Path(__file__).parent.parent.parent

LOCK = """\
aio-pika==10.2.1 \\
    --hash=sha256:66c85d311e30f1dd3e28109d686c9bf1d9dd1a74582004c7cb7bed284d8fe3b1 \\
    --hash=sha256:e4f77afd9179a3cca5a904c3b0a1190256a36d9f90650db908b1b2245eb27487
    # via llmgate-server (pyproject.toml)
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:4f1d9991f5acc0ca119f9d443620b77f9d6b33703e51011c16baf57afb285fc6
    # via
    #   aio-pika
    #   click
"""


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    return bill_of_materials(ROOT, "llmgate-server", "1.2.3")


def test_a_lock_file_is_read_whole() -> None:
    components, wanted_by = locked(LOCK)
    assert [(one["name"], one["version"], len(one["hashes"])) for one in components] == [
        ("aio-pika", "10.2.1", 2),
        ("colorama", "0.4.6", 1),
    ]
    assert components[1]["properties"] == [{"name": "llmgate:installed-if", "value": "sys_platform == 'win32'"}]
    assert wanted_by == {"aio-pika": ["llmgate-server"], "colorama": ["aio-pika", "click"]}


def test_it_lists_exactly_what_is_locked(bill: dict[str, Any]) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    listed = [one for one in bill["components"] if one["purl"].startswith("pkg:pypi/")]
    assert {(one["name"], one["version"]) for one in listed} == set(
        re.findall(r"^([\w.-]+)==([^ ]+)", lock, re.MULTILINE)
    )
    hashes = [one["content"] for component in listed for one in component["hashes"]]
    assert sorted(hashes) == sorted(re.findall(r"sha256:(\w+)", lock))


def test_it_lists_exactly_what_is_in_the_page(bill: dict[str, Any]) -> None:
    licenses = (ROOT / PAGE / "licenses.md").read_text(encoding="utf-8")
    listed = [one for one in bill["components"] if one["purl"].startswith("pkg:npm/")]
    assert {f"{one['name']} - {one['version']}" for one in listed} == set(
        re.findall(r"^## (\S+ - \S+) \(", licenses, re.MULTILINE)
    )
    asked = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    assert asked.keys() <= {one["name"] for one in listed}
    assert {one["hashes"][0]["alg"] for one in listed} == {"SHA-512"}
    assert {len(one["hashes"][0]["content"]) for one in listed} == {128}


def test_a_package_of_the_page_that_is_not_locked_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"evil 6\.6\.6 is in the chat page"):
        bundled("## evil - 6.6.6 (MIT)\n", {"packages": {"node_modules/evil": {"version": "1.0.0"}}})


def test_it_has_the_shape_of_cyclonedx(bill: dict[str, Any]) -> None:
    """What version 1.6 of the schema demands of the parts that are used here."""
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", bill["serialNumber"])
    everything = [bill["metadata"]["component"], *bill["components"]]
    refs = [one["bom-ref"] for one in everything]
    assert len(refs) == len(set(refs))
    for one in everything:
        assert one["type"] in {"application", "library"}
        assert re.fullmatch(r"pkg:(pypi|npm)/[\w.%/-]+@[\w.+-]+", one["purl"])
    for one in bill["components"]:
        lengths = {"SHA-256": 64, "SHA-512": 128}
        assert all(len(each["content"]) == lengths[each["alg"]] for each in one["hashes"])


def test_everything_is_wanted_by_something(bill: dict[str, Any]) -> None:
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    refs = {one["bom-ref"] for one in bill["components"]}
    reached, todo = set(), [bill["metadata"]["component"]["bom-ref"]]
    while todo:
        for ref in needs.get(todo.pop(), []):
            if ref not in reached:
                reached.add(ref)
                todo.append(ref)
    assert reached == refs


def test_it_is_the_same_every_time(bill: dict[str, Any]) -> None:
    assert json.dumps(bill_of_materials(ROOT, "llmgate-server", "1.2.3")) == json.dumps(bill)
    assert bill_of_materials(ROOT, "llmgate-server", "1.2.4")["serialNumber"] != bill["serialNumber"]
