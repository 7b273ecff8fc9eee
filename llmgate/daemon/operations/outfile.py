"""A file that is there as a whole or not at all, and that only its owner may read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llmgate.errors import Conflict, StateUnreadable


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file that gets its name when the block ends well. Mode 0600.

    Raises Conflict when the name is taken, unless ``replace``; StateUnreadable when it cannot be written.
    """
    _check_free(path, replace=replace)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as failure:
        raise _unwritable(path, failure) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _check_free(path, replace=replace)
        draft.replace(path)
        _sync_directory(path.parent)
    except OSError as failure:
        raise _unwritable(path, failure) from None
    finally:
        draft.unlink(missing_ok=True)


def _check_free(path: Path, *, replace: bool) -> None:
    if not replace and (path.exists() or path.is_symlink()):
        raise Conflict(f"{path} exists.", hint="Name another file, or replace it with --force.")


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, failure: OSError) -> StateUnreadable:
    return StateUnreadable(f"Cannot write {path}: {failure.strerror or failure}.", hint="Check its directory and disk.")
