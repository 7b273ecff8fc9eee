"""Passwords: argon2id through passlib, in a few threads and with a bounded line before them."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from passlib.context import CryptContext
from passlib.exc import UnknownHashError

from llmgate.errors import InvalidRequest, TooManyAttempts

T = TypeVar("T")

_LONGEST = 1024
_MEMORY_KIB, _PASSES, _LANES = 19_456, 2, 1  # OWASP's minimum for argon2id

_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$9v5fC6HUGiOkVGrtnfMeIw$/n9GcR9I7FvKnDaD2H+n1B8SdHWZfkEbm4bXj0kVqyM"
"""No password's hash: checking against it costs what checking a real one does."""


def check_strength(password: str, min_length: int) -> None:
    """Raises InvalidRequest for a password that may not be set."""
    if len(password) < min_length:
        raise InvalidRequest(f"The password is shorter than {min_length} characters.", param="password")
    if len(password) > _LONGEST:
        raise InvalidRequest(f"The password is longer than {_LONGEST} characters.", param="password")
    if len(set(password)) < 4:
        raise InvalidRequest("The password repeats too few different characters.", param="password")


class PasswordHasher:
    """Hashes and checks passwords, about 20 ms each, without holding the event loop up.

    At most ``threads`` run at once and ``waiting`` wait; more raise TooManyAttempts, so that a flood of logins
    cannot take the processor away from everything else.
    """

    def __init__(self, *, min_length: Callable[[], int] = lambda: 10, threads: int = 2, waiting: int = 32) -> None:
        self._min_length = min_length
        self._context = CryptContext(
            ["argon2"],
            argon2__type="ID",
            argon2__memory_cost=_MEMORY_KIB,
            argon2__time_cost=_PASSES,
            argon2__parallelism=_LANES,
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="llmgate-argon2")
        self._most = threads + waiting
        self._pending = 0

    def check(self, password: str) -> None:
        """Raises InvalidRequest when the password is too weak (see ``check_strength``)."""
        check_strength(password, self._min_length())

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises InvalidRequest as ``check`` does."""
        self.check(password)
        secret = _prepared(password)
        return await self._run(lambda: str(self._context.hash(secret)))

    async def verify(self, password: str, hashed: str | None) -> bool:
        """Whether it is the right password. None, for a user that does not exist, takes as long as any other."""
        secret = _prepared(password[:_LONGEST])
        fits = await self._run(lambda: self._check(secret, hashed or _NOBODY))
        return fits and hashed is not None and len(password) <= _LONGEST

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, secret: bytes, hashed: str) -> bool:
        try:
            return bool(self._context.verify(secret, hashed))
        except (UnknownHashError, ValueError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pending >= self._most:
            raise TooManyAttempts("Too many people are logging in at the moment.", retry_after=1)
        loop = asyncio.get_running_loop()
        future = self._pool.submit(work)
        self._pending += 1
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._one_less))
        return await asyncio.wrap_future(future)

    def _one_less(self) -> None:
        self._pending -= 1


def _prepared(password: str) -> bytes:
    """The same bytes for what looks the same, whatever keyboard it was typed on (NFKC, as NIST SP 800-63B asks)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
