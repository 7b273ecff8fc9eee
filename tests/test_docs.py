"""The documents keep up with the program."""

from __future__ import annotations

import re
from pathlib import Path

from llmgate import errors
from llmgate.daemon.protocols import ENDPOINTS

ROOT = Path(__file__).parent.parent


def all_errors() -> list[type[errors.LLMGateError]]:
    found, todo = [], [errors.LLMGateError]
    while todo:
        kind = todo.pop()
        found.append(kind)
        todo.extend(kind.__subclasses__())
    return found


def test_every_code_that_a_client_can_see_is_in_the_api_document() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", text, re.MULTILINE))
    on_the_wire = {
        kind.code
        for kind in all_errors()
        if not issubclass(kind, errors.ConfigError | errors.StartupError | errors.ClientError)
    }
    assert listed == on_the_wire


def test_every_inference_route_is_in_the_api_document() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [path for path in ENDPOINTS if f"`{path}`" not in text] == []


def test_links_between_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{document.name}: {target}"
        for document in documents
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_the_words_of_the_settings_are_in_the_documents() -> None:
    """A setting that the documents name exists."""
    from llmgate.config import Settings  # noqa: PLC0415

    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    unknown = []
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for section, key in re.findall(
            r"`(server|auth|queue|database|health|usage|levels)\.([a-z_]+)`", document.read_text()
        ):
            table = sections[section]
            assert table is not None
            if key not in table.model_fields:
                unknown.append(f"{document.name}: {section}.{key}")
    assert unknown == []
