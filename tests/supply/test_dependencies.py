"""What is installed with the gateway: no more than is used, each with its reason, and nothing without its hash."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OTHERWISE_USED = {
    "aiosqlite": "sqlite+aiosqlite",
    "psycopg": "postgresql+psycopg",
    "argon2-cffi": "argon2",
}
"""Dependencies that nothing of ours imports, and the word by which another one is told to."""

OTHERWISE_THERE = {"pydantic-core": "pydantic", "xllamacpp": "the extra 'demo'"}
"""What is imported without being a direct dependency, and what brings it."""


def name_of(requirement: str) -> str:
    found = re.match(r"[a-z0-9-]+", requirement)
    assert found is not None, requirement
    return found[0]


def direct() -> set[str]:
    return {name_of(one) for one in PROJECT["project"]["dependencies"]}


def sources() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in (ROOT / "llmgate").rglob("*.py")}


def imported() -> set[str]:
    """Distributions whose modules the package imports, anywhere."""
    modules = set()
    for text in sources().values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                modules.add(node.module.partition(".")[0])
    known = metadata.packages_distributions()
    return {
        distribution.lower().replace("_", "-")
        for module in modules - {"llmgate"} - sys.stdlib_module_names
        for distribution in known[module]
    }


def explained() -> set[str]:
    """What the table of the document names."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("## Why each dependency")[2].partition("\nThe chat page")[0]
    rows = re.findall(r"^\| (?!dependency|---)([^|]+) \|", table, re.MULTILINE)
    return {name.strip() for row in rows for name in re.sub(r"\([^)]*\)", "", row).split(",")}


def test_each_dependency_has_its_reason_in_the_document() -> None:
    assert explained() == direct()


def test_no_dependency_is_unused() -> None:
    unused = direct() - imported()
    assert unused == OTHERWISE_USED.keys()
    everything = "\n".join(sources().values())
    assert [word for word in OTHERWISE_USED.values() if word not in everything] == []


def test_nothing_is_used_that_another_dependency_happens_to_bring() -> None:
    assert imported() - direct() == OTHERWISE_THERE.keys()


def test_each_locked_package_has_hashes() -> None:
    for lock in sorted(ROOT.glob("requirements*.lock")):
        blocks = re.split(r"^(?=[a-z0-9])", lock.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        assert blocks, lock.name
        assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == [], lock.name


def test_what_is_installed_is_locked() -> None:
    """A direct dependency that the lock file does not name would come in any version."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert direct() <= set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))


def test_a_lock_file_is_installed_with_its_hashes_everywhere() -> None:
    """In whatever is committed: scripts, documents, the image."""
    places = [
        ROOT / "Makefile", ROOT / "README.md", ROOT / "web" / "npm.sh", *(ROOT / "docs").glob("*.md"),
        *(path for path in (ROOT / "deploy").rglob("*") if path.is_file() and path.suffix != ".pyc"),
    ]  # fmt: skip
    installs = re.compile(r"(?:pip install|\$pip|with_uv)\b[^|&]*?-r +\S+", re.DOTALL)
    found, without = 0, []
    for place in places:
        text = place.read_text(encoding="utf-8", errors="replace").replace("\\\n", " ")
        for line in text.splitlines():
            for command in installs.findall(line):
                found += 1
                if "--require-hashes" not in command:
                    without.append(f"{place.name}: {command}")
    assert without == []
    assert found >= 6
