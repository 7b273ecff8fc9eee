"""What is tried is told."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import tests.attacks

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"


def test_every_attack_is_in_the_document() -> None:
    told = re.sub(r"\s+", " ", DOCUMENT.read_text("utf-8").partition("## Attacks that are tried")[2])
    names = [name for _, name, _ in iter_modules(tests.attacks.__path__) if not name.startswith(("test_", "conftest"))]
    modules = [import_module(f"tests.attacks.{name}") for name in names]
    attacks = [attack.name for module in modules for attack in getattr(module, "ATTACKS", [])]
    assert len(attacks) > 100
    assert [name for name in attacks if name not in told] == []
