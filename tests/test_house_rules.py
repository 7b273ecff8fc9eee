"""The budgets of this codebase: small modules, small functions, no hidden state."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted(
    path
    for path in (ROOT / "llmgate").rglob("*.py")
    if "migrations" not in path.parts and "__pycache__" not in path.parts
)
MODULE_LINES = 400
MEDIAN_LINES = 150
FUNCTION_LINES = 60


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_are_small() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}
    assert statistics.median(size for size in sizes.values() if size > 5) <= MEDIAN_LINES


def test_functions_are_small() -> None:
    long = {
        f"{path.relative_to(ROOT)}:{function.name}": length
        for path in PACKAGE
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > FUNCTION_LINES
    }
    assert long == {}


def test_there_are_no_globals_and_no_bare_handlers() -> None:
    def is_forbidden(node: ast.AST) -> bool:
        return isinstance(node, ast.Global) or (isinstance(node, ast.ExceptHandler) and node.type is None)

    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE}
    assert [str(path) for path, tree in trees.items() if any(is_forbidden(node) for node in ast.walk(tree))] == []


def test_a_broad_handler_says_why() -> None:
    silent = []
    for path in PACKAGE:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler) or getattr(node.type, "id", "") != "Exception":
                continue
            if "#" not in lines[node.lineno - 1]:
                silent.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert silent == []


def test_nothing_is_left_undone() -> None:
    undone = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert [str(path) for path in PACKAGE if undone.search(path.read_text(encoding="utf-8"))] == []


def test_tests_do_not_sleep_or_skip() -> None:
    forbidden = re.compile(r"\btime\.sleep\(|asyncio\.sleep\((?!0\))|pytest\.skip|mark\.(skip|xfail)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if forbidden.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("module", ["llmgate.cli.main", "llmgate.client"])
def test_the_command_line_does_not_load_the_daemon(module: str) -> None:
    """What a short command does not need, it does not wait for."""
    heavy = {"sqlalchemy", "textual", "aio_pika", "fastapi", "uvicorn", "jose", "passlib", "llmgate.daemon"}
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert heavy.isdisjoint(loaded)


def test_importing_everything_does_nothing() -> None:
    """No module opens a file to write, a socket or a process when it is imported."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in PACKAGE
        if path.name != "__main__.py"
    ]
    code = f"""
import sys
def watch(event, args):
    if event in {{"socket.connect", "socket.bind", "subprocess.Popen", "os.system"}}:
        raise RuntimeError(f"import did {{event}} {{args}}")
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if writes:
        raise RuntimeError(f"import wrote {{args[0]}}")
sys.addaudithook(watch)
import importlib
for name in {modules!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-B", "-c", code], check=True, cwd=ROOT)  # -B: Python itself writes nothing either


def test_every_error_has_its_own_code_and_is_drawn_in_the_tree() -> None:
    from llmgate import errors  # noqa: PLC0415

    kinds: list[type[errors.LLMGateError]] = []
    todo = [errors.LLMGateError]
    while todo:
        kind = todo.pop()
        kinds.append(kind)
        todo.extend(kind.__subclasses__())
    codes = [kind.code for kind in kinds if kind.code != "invalid_request"]
    assert len(codes) == len(set(codes))
    assert errors.__doc__ is not None
    assert [kind.__name__ for kind in kinds if kind.__name__ not in errors.__doc__] == []


def test_committed_files_name_no_registry_and_no_workplace() -> None:
    files = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True, cwd=ROOT).stdout.split()
    address = re.compile(r"https?://[^ ]*(pypi|pythonhosted|registry\.npmjs|proxy\.golang)", re.IGNORECASE)
    found = [
        name
        for name in files
        if (ROOT / name).is_file() and address.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
