"""What is inside a backup, before it is encrypted: zlib (RFC 1950) of lines of JSON.

    {"format": 1, "llmgate": "0.5.0", "schema": "0002", "database": "sqlite", "created_at": "…", "secret": "<hex>",
     "tables": [{"name": "users", "columns": [["id", "text"], …], "rows": 12}, …]}
    {"table": "users"}
    ["01J…", "ada", …]              a row, in the order of the columns; ``values`` says what each kind looks like
    …
    {"table": "sessions"}           the tables follow in the manifest's order: what refers to another comes behind it
    …
    {"rows": 34, "sha256": "…"}     all rows, and the hash of every byte before this line

Nothing in it depends on the kind of database. ``secret`` is the text of the server's secret key.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, BinaryIO, Self

from llmgate.daemon.operations.cipher import Decryptor, Encryptor
from llmgate.daemon.operations.values import decoder
from llmgate.errors import InvalidRequest

FORMAT = 1
BATCH = 500
"""Rows that are in memory at once, unless they are long: then not many more than"""
BATCH_BYTES = 8 * 1024 * 1024
LINE_BYTES = 16 * 1024 * 1024
_STEP = 256 * 1024


@dataclass(frozen=True, slots=True)
class TableContents:
    """One table: its columns (name, kind), and how many rows of it there are."""

    name: str
    columns: tuple[tuple[str, str], ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    llmgate: str
    schema: str
    database: str
    created_at: datetime
    tables: tuple[TableContents, ...]
    secret: str = field(repr=False)

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        document = {"format": FORMAT, **asdict(self)}
        document["created_at"] = self.created_at.astimezone(UTC).isoformat(timespec="microseconds")
        return document

    @classmethod
    def of(cls, document: Any) -> Self:
        """Raises InvalidRequest for what this program cannot read."""
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InvalidRequest(
                "The contents of this backup have a form that this version of llmgate does not know.",
                hint="Use a newer llmgate.",
            )
        try:
            tables = tuple(
                TableContents(str(one["name"]), tuple((str(a), str(b)) for a, b in one["columns"]), int(one["rows"]))
                for one in document["tables"]
            )
            texts = {name: str(document[name]) for name in ("llmgate", "schema", "database", "secret")}
            return cls(created_at=datetime.fromisoformat(document["created_at"]), tables=tables, **texts)
        except (KeyError, TypeError, ValueError):
            raise InvalidRequest("The manifest of this backup is not complete.") from None


class ArchiveWriter:
    """Writes a backup to ``target``: a manifest, each table with its rows, ``finish``. It blocks."""

    def __init__(self, target: BinaryIO, passphrase: str) -> None:
        self._encryptor = Encryptor(target, passphrase)
        self._packer = zlib.compressobj()
        self._hash = hashlib.sha256()
        self._rows = 0

    @property
    def bytes_written(self) -> int:
        return self._encryptor.written

    def manifest(self, manifest: Manifest) -> None:
        self._write([manifest.as_json()])

    def table(self, name: str) -> None:
        self._write([{"table": name}])

    def rows(self, rows: Iterable[list[Any]]) -> int:
        """How many there were."""
        count = self._write(rows)
        self._rows += count
        return count

    def finish(self) -> None:
        self._write([{"rows": self._rows, "sha256": self._hash.hexdigest()}])
        self._encryptor.write(self._packer.flush())
        self._encryptor.close()

    def _write(self, items: Iterable[Any]) -> int:
        count = 0
        for count, item in enumerate(items, 1):  # noqa: B007  # it is what is returned
            line = json.dumps(item, separators=(",", ":")).encode() + b"\n"
            self._hash.update(line)
            self._encryptor.write(self._packer.compress(line))
        return count


class ArchiveReader:
    """Reads a backup. Whoever has exhausted ``batches`` knows that all of it is there and nothing is changed."""

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        """Raises InvalidRequest or AuthenticationFailed, like everything here."""
        self._decryptor = Decryptor(source, passphrase)
        self._hash = hashlib.sha256()
        self._lines = self._read_lines()
        self._line_bytes = 0
        self.manifest = Manifest.of(self._next())

    def batches(self) -> Iterator[tuple[TableContents, list[list[Any]]]]:
        """The rows of each table, some hundred at a time. It blocks."""
        for table in self.manifest.tables:
            if self._next() != {"table": table.name}:
                raise _broken(f"the table {table.name} is not where it should be")
            yield from self._rows_of(table)
        digest = self._hash.hexdigest()
        if self._next() != {"rows": self.manifest.rows, "sha256": digest}:
            raise _broken("its hash does not fit")
        if next(self._lines, None) is not None:
            raise _broken("something follows its end")

    def _rows_of(self, table: TableContents) -> Iterator[tuple[TableContents, list[list[Any]]]]:
        try:
            decode = decoder([kind for _, kind in table.columns])
            left = table.rows
            while left:
                batch = [decode(row) for row in self._batch(table.name, min(left, BATCH))]
                left -= len(batch)
                yield table, batch
        except ValueError as failure:
            raise _broken(f"a row of {table.name} holds something odd: {failure}") from None

    def _batch(self, table: str, most: int) -> Iterator[list[Any]]:
        size = 0
        for _ in range(most):
            row = self._next()
            if not isinstance(row, list):
                raise _broken(f"rows of {table} are missing")
            yield row
            size += self._line_bytes
            if size >= BATCH_BYTES:
                return

    def _next(self) -> Any:
        line = next(self._lines, None)
        if line is None:
            raise _broken("it ends too early")
        self._hash.update(line)
        self._line_bytes = len(line)
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise _broken("a line of it is not JSON") from None

    def _read_lines(self) -> Iterator[bytes]:
        kept = b""
        for piece in self._unpacked():
            *whole, kept = (kept + piece).split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(kept) > LINE_BYTES:
                raise _broken("a line of it is too long")
        if kept:
            yield kept

    def _unpacked(self) -> Iterator[bytes]:
        unpacker = zlib.decompressobj()
        try:
            while chunk := self._decryptor.read():
                while chunk:
                    if piece := unpacker.decompress(chunk, _STEP):
                        yield piece
                    chunk = unpacker.unconsumed_tail
            yield unpacker.flush()
        except zlib.error:
            raise _broken("it cannot be decompressed") from None
        if not unpacker.eof or unpacker.unused_data:
            raise _broken("it does not end where it should")


def _broken(what: str) -> InvalidRequest:
    return InvalidRequest(f"The backup is broken: {what}.", hint="Use another one.")
