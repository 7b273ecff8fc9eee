"""Writes measured numbers into the documents, so that nobody types them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent


def replace_between(path: Path, mark: str, text: str) -> None:
    """Put ``text`` between ``<!-- mark:start -->`` and ``<!-- mark:end -->``."""
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")
