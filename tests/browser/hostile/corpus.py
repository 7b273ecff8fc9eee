"""What a hostile model could answer: one list for the tests of the page in a browser and for those without.

`corpus.json` is made from it for tests in TypeScript; `python -m tests.browser.hostile.corpus` writes it.
A test gives the page a function `trapped` and answers no request for `HOST`: no case may reach either.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.browser.hostile import html, links, shapes
from tests.browser.hostile.case import CALL, HOST, Case

__all__ = ["CALL", "CORPUS", "FILE", "HOST", "Case", "document"]

CORPUS: list[Case] = [*html.ALL, *links.ALL, *shapes.ALL]
FILE = Path(__file__).with_name("corpus.json")


def document() -> str:
    """The corpus as JSON: ASCII, since some texts hold what no encoding has (lone surrogates)."""
    rows = ",\n".join(json.dumps(case.document(), ensure_ascii=True) for case in CORPUS)
    return f"[\n{rows}\n]\n"


if __name__ == "__main__":
    FILE.write_text(document(), encoding="ascii")
