"""Time, in one place: monotonic for waiting and measuring, UTC for what is written down."""

from __future__ import annotations

import time
from datetime import UTC, datetime

monotonic = time.monotonic


def utc_now() -> datetime:
    return datetime.now(UTC)
