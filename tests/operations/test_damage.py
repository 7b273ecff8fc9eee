"""A backup that is not exactly what was written is noticed before anything of it is used."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmgate.daemon.operations.archive import ArchiveReader, ArchiveWriter, Manifest, TableContents
from llmgate.daemon.operations.cipher import CHUNK, HEADER_BYTES, MAGIC, Cost, Decryptor, Encryptor, check_passphrase
from llmgate.daemon.operations.restore import Source, check
from llmgate.daemon.operations.values import decoder
from llmgate.errors import AuthenticationFailed, InvalidRequest, LLMGateError, StateUnreadable
from tests.operations.support import PASSPHRASE, SECRET, START

SEALED = CHUNK + 16
MANIFEST = Manifest(
    llmgate="1",
    schema="0001",
    database="sqlite",
    created_at=START,
    tables=(TableContents("instance", (("key", "text"), ("value", "text")), 2),),
    secret=SECRET.reveal(),
)
ROWS: list[list[Any]] = [["secret_fingerprint", SECRET.fingerprint], ["a", None]]


CHANCE = random.Random(7)  # noqa: S311  it guards nothing here


def encrypted(plain: bytes) -> bytes:
    target = io.BytesIO()
    encryptor = Encryptor(target, PASSPHRASE)
    for start in range(0, len(plain), 100_000):
        encryptor.write(plain[start : start + 100_000])
    encryptor.close()
    assert encryptor.written == len(target.getvalue())
    return target.getvalue()


def decrypted(sealed: bytes, passphrase: str = PASSPHRASE) -> bytes:
    decryptor = Decryptor(io.BytesIO(sealed), passphrase)
    return b"".join(iter(decryptor.read, b""))


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 300_001])
def test_what_is_encrypted_comes_back(size: int) -> None:
    plain = CHANCE.randbytes(size)
    sealed = encrypted(plain)
    assert decrypted(sealed) == plain
    assert size < 16 or plain[:16] not in sealed
    assert sealed != encrypted(plain)


PLAIN = CHANCE.randbytes(3 * CHUNK + 500)
DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "without its last chunk": lambda sealed: sealed[: HEADER_BYTES + 3 * SEALED],
    "cut off in a chunk": lambda sealed: sealed[:-7],
    "cut off after the header": lambda sealed: sealed[:HEADER_BYTES],
    "without a chunk": lambda sealed: sealed[: HEADER_BYTES + SEALED] + sealed[HEADER_BYTES + 2 * SEALED :],
    "with a chunk doubled": lambda sealed: sealed[: HEADER_BYTES + SEALED] + sealed[HEADER_BYTES:],
    "with chunks exchanged": lambda sealed: (
        sealed[:HEADER_BYTES]
        + sealed[HEADER_BYTES + SEALED : HEADER_BYTES + 2 * SEALED]
        + sealed[HEADER_BYTES : HEADER_BYTES + SEALED]
        + sealed[HEADER_BYTES + 2 * SEALED :]
    ),
    "with something behind it": lambda sealed: sealed + b"x",
    "with the chunks of another": lambda sealed: sealed[:HEADER_BYTES] + encrypted(PLAIN)[HEADER_BYTES:],
    "of nothing": lambda sealed: b"",
    "of something else": lambda sealed: b"SQLite format 3\0" * 10,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_file_that_was_cut_or_mixed_up_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidRequest):
        decrypted(damage(encrypted(PLAIN)))


def test_no_bit_can_be_changed() -> None:
    sealed = encrypted(PLAIN)
    for place in [
        *range(len(MAGIC), HEADER_BYTES, 5),
        *(CHANCE.randrange(HEADER_BYTES, len(sealed)) for _ in range(60)),
    ]:
        changed = bytearray(sealed)
        changed[place] ^= 1 << CHANCE.randrange(8)
        with pytest.raises((InvalidRequest, AuthenticationFailed)):
            decrypted(bytes(changed))


def test_another_passphrase_is_told_as_such() -> None:
    with pytest.raises(AuthenticationFailed, match="passphrase is not the one"):
        decrypted(encrypted(b"x"), "something else entirely")


def test_the_same_passphrase_in_another_unicode_form_is_the_same() -> None:
    target = io.BytesIO()
    Encryptor(target, "caf\u00e9 au lait, please").close()
    assert decrypted(target.getvalue(), "cafe\u0301 au lait, please") == b""


@pytest.mark.parametrize("cost", [Cost(30, 8, 1), Cost(17, 255, 1), Cost(17, 8, 200), Cost(1, 8, 1)])
def test_a_file_cannot_ask_for_any_amount_of_memory(cost: Cost) -> None:
    header = MAGIC + bytes((cost.log2_n, cost.r, cost.p)) + bytes(48)
    with pytest.raises(InvalidRequest, match="form"):
        decrypted(header)


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="12 characters"):
        check_passphrase("elevenchars")


def archive(lines: bytes) -> bytes:
    return encrypted(zlib.compress(lines))


def honest() -> bytes:
    target = io.BytesIO()
    writer = ArchiveWriter(target, PASSPHRASE)
    writer.manifest(MANIFEST)
    writer.table("instance")
    writer.rows(ROWS)
    writer.finish()
    return zlib.decompress(decrypted(target.getvalue()))


def read(lines: bytes) -> list[list[object]]:
    reader = ArchiveReader(io.BytesIO(archive(lines)), PASSPHRASE)
    return [row for _, rows in reader.batches() for row in rows]


def test_an_archive_comes_back() -> None:
    assert read(honest()) == ROWS


LIES: dict[str, Callable[[bytes], bytes]] = {
    "a row less": lambda text: text.replace(b'["a",null]\n', b""),
    "a row more": lambda text: text.replace(b'["a",null]\n', b'["a",null]\n["b",null]\n'),
    "another value": lambda text: text.replace(b'["a",null]', b'["b",null]'),
    "another kind of value": lambda text: text.replace(b'["a",null]', b'["a",7]'),
    "a value less": lambda text: text.replace(b'["a",null]', b'["a"]'),
    "another table": lambda text: text.replace(b'{"table":"instance"}', b'{"table":"users"}'),
    "no end": lambda text: text[: text.rindex(b'{"rows"')],
    "something behind the end": lambda text: text + b"{}\n",
    "no JSON": lambda text: text.replace(b'["a",null]', b'["a",nul]'),
    "deep JSON": lambda text: b"[" * 200_000,
    "another format": lambda text: text.replace(b'"format":1', b'"format":2'),
    "half a manifest": lambda text: text.replace(b'"schema"', b'"scheme"'),
    "no lines": lambda text: b"",
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_contents_that_do_not_fit_together_are_refused(lie: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidRequest):
        read(lie(honest()))


def test_a_line_without_end_is_not_read_into_memory() -> None:
    with pytest.raises(InvalidRequest, match="too long"):
        read(b'["' + b"a" * (20 * 1024 * 1024))


def test_what_is_compressed_must_be_whole() -> None:
    packed = zlib.compress(honest())
    for damaged in (packed[:-9], packed + b"more", b"not zlib at all"):
        with pytest.raises(InvalidRequest):
            list(ArchiveReader(io.BytesIO(encrypted(damaged)), PASSPHRASE).batches())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("time", "2026-01-01T00:00:00"),
        ("time", "soon"),
        ("integer", True),
        ("integer", "1"),
        ("bytes", "?"),
        ("ufo", 1),
    ],
)
def test_values_of_another_kind_are_refused(kind: str, value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decoder([kind])([value])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"schema": "9999"}, "newer than this program"),
        ({"tables": (TableContents("ufos", (("id", "text"),), 0),)}, r"ufos\.id"),
        ({"tables": (TableContents("instance", (("key", "text"), ("size", "text")), 0),)}, r"instance\.size"),
        ({"tables": (TableContents("instance", (("key", "integer"),), 0),)}, r"instance\.key"),
        ({"secret": "00" * 32}, "is not random"),
        ({"secret": "0123456789abcdef" * 4}, "not the one of its database"),
    ],
)
async def test_a_backup_that_could_not_be_restored_is_refused_when_it_is_checked(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    values = {name: getattr(MANIFEST, name) for name in Manifest.__dataclass_fields__} | changes
    with (tmp_path / "saved").open("wb") as target:
        writer = ArchiveWriter(target, PASSPHRASE)
        writer.manifest(Manifest(**values))
        for table in values["tables"]:
            writer.table(table.name)
            writer.rows(ROWS[: table.rows])
        writer.finish()
    with pytest.raises(InvalidRequest, match=says):
        await check(Source(tmp_path / "saved", PASSPHRASE))


@pytest.mark.parametrize("name", ["nowhere", "."])
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(StateUnreadable, match=r"Cannot read") as caught:
        await check(Source(tmp_path / name, PASSPHRASE))
    assert isinstance(caught.value, LLMGateError)
