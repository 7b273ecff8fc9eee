"""The activity log: who changed what, who logged in, and whether the log is whole."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, field_validator

from llmgate.schemas.base import Answer, Request

Seq = Annotated[int, Field(ge=1, le=2**63 - 1)]
ChainHash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits.")]


class ActivityEntry(Answer):
    """One change, or one login. ``hash`` chains it to the entry before.

    ``actor_kind`` is session, key, token (of registration or setup) or local (a command on the daemon's machine).
    ``detail`` says more, for a change of each field its value before and after; never a secret.
    """

    seq: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    address: str
    request_id: str
    action: str
    target_id: str
    target_name: str
    detail: dict[str, Any]
    hash: str

    @field_validator("detail", mode="before")
    @classmethod
    def is_an_object(cls, value: object) -> object:
        """Whoever writes into the database can write anything there: it is shown all the same."""
        if isinstance(value, dict):
            return value
        try:
            read = json.loads(str(value), parse_constant=str)
        except (ValueError, RecursionError):
            read = None
        return read if isinstance(read, dict) else {"unreadable": str(value)}


class ActivityHead(Request):
    """An entry's number and hash, as a verification has told them before."""

    seq: Seq
    hash: ChainHash


class ActivityVerify(Request):
    """``expected`` is a head that was noted earlier: the log must still contain it."""

    expected: ActivityHead | None = None


class ActivityPlace(Answer):
    seq: int
    hash: str


class ActivityCheckpoint(Answer):
    """Entries up to ``seq`` were forgotten at this time, in good order: it is signed."""

    seq: int
    hash: str
    at: datetime


class ActivityFault(Answer):
    """``seq`` is the first entry that is not as it was, ``kind`` is how: altered, missing, unreadable, revived,
    checkpoint, end_missing or other_history."""

    seq: int
    kind: str
    message: str


class ActivityVerdict(Answer):
    """``head`` is the last entry that fits: note it elsewhere, to notice later that the end was cut off.

    ``seconds`` is how long the verification took.
    """

    ok: bool
    entries: int
    first_seq: int | None
    head: ActivityPlace
    checkpoint: ActivityCheckpoint | None
    fault: ActivityFault | None
    seconds: float
