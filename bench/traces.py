"""Real traffic to replay: the Azure LLM inference traces of 2023, in a compact form (``bench/data/README.md``).

``python -m bench.traces code.csv conv.csv`` makes that form of the original files anew.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from bench.document import ROOT

COMPACT: Final = ROOT / "bench" / "data" / "azure_llm_2023.csv.gz"
NAMES: Final = ("code", "conv")
SOURCE: Final = (
    "the [Azure LLM inference traces of 2023](https://github.com/Azure/AzurePublicDataset) (CC BY), described in Patel "
    "et al., *Splitwise: Efficient Generative LLM Inference Using Phase Splitting*, ISCA 2024"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request of a trace. ``at``: seconds since the first request of both; tokens as they were counted there."""

    trace: str
    at: float
    context: int
    generated: int


def compact(originals: dict[str, str]) -> bytes:
    """The traces, name → text of the original file, as one table by time: milliseconds and tokens, compressed."""
    rows = [
        (datetime.fromisoformat(row["TIMESTAMP"][:23]), name, row["ContextTokens"], row["GeneratedTokens"])
        for name, text in originals.items()
        for row in csv.DictReader(io.StringIO(text))
    ]
    rows.sort(key=lambda row: row[0])
    first = rows[0][0]
    table = "trace,milliseconds,context,generated\n" + "".join(
        f"{name},{round(1000 * (at - first).total_seconds())},{context},{generated}\n"
        for at, name, context, generated in rows
    )
    return gzip.compress(table.encode(), 9, mtime=0)


def expand(content: bytes) -> list[Call]:
    """What ``compact`` has written."""
    table = csv.DictReader(io.StringIO(gzip.decompress(content).decode()))
    return [
        Call(row["trace"], int(row["milliseconds"]) / 1000, int(row["context"]), int(row["generated"])) for row in table
    ]


@cache
def calls() -> tuple[Call, ...]:
    """Both traces, by time."""
    return tuple(expand(COMPACT.read_bytes()))


def rotated(taken: tuple[Call, ...], name: str, share: float) -> list[Call]:
    """One of the traces begins later by a share of the whole length, and what would be beyond the end comes first: the
    same traffic, but other bursts meet."""
    length = taken[-1].at + 0.001
    shifted = [
        Call(name, round((call.at + share * length) % length, 3), call.context, call.generated)
        if call.trace == name
        else call
        for call in taken
    ]
    return sorted(shifted, key=lambda call: call.at)


def main() -> None:
    originals = {name: Path(file).read_text(encoding="utf-8") for name, file in zip(NAMES, sys.argv[1:], strict=True)}
    COMPACT.write_bytes(compact(originals))


if __name__ == "__main__":
    main()
