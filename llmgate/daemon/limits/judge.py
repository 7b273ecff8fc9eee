"""Whether one more request stays within its principal's limits: decisions without any effect."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from llmgate.daemon.auth.principals import Limits
from llmgate.daemon.limits.tally import Spent, Tally, Told
from llmgate.daemon.limits.window import Counts
from llmgate.errors import BudgetExceeded, LimitExceeded, RateLimitExceeded, TooManyConcurrent

Headers = list[tuple[bytes, bytes]]

BUSY_RETRY = 1.0
"""Seconds after which to ask again where only a request that ends makes room."""
RESERVED_RETRY = 5.0
"""The same, where what is in flight may use up the budget and may also not."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a principal uses in all daemons together at this moment, ``now``. ``today`` and ``this_month`` are tokens,
    None where it has no budget."""

    now: float
    requests: Counts
    tokens: Counts
    in_flight: int
    reserved: float
    today: int | None = None
    this_month: int | None = None

    @property
    def requests_used(self) -> float:
        """Of the last sixty seconds."""
        return self.requests.used(self.now)

    @property
    def tokens_used(self) -> float:
        return self.tokens.used(self.now)


def use_of(tally: Tally, others: Iterable[tuple[str, Told]], now: float) -> Use:
    """Add up what this daemon and the others (by boot id) know."""
    requests, tokens = tally.requests.counts(now), tally.tokens.counts(now)
    in_flight, reserved, spent, more = tally.in_flight, tally.reserved, tally.spent, 0
    for boot, told in others:
        requests += told.requests.counts(now)
        tokens += told.tokens.counts(now)
        in_flight += told.running + told.waiting
        reserved += told.reserved
        if spent is not None:
            more += _since_read(spent, boot, told)
    if spent is None:
        return Use(now, requests, tokens, in_flight, reserved)
    return Use(now, requests, tokens, in_flight, reserved, spent.today + more, spent.this_month + more)


def _since_read(spent: Spent, boot: str, told: Told) -> int:
    """Tokens that ended in another daemon since the database was asked, or were not written then."""
    return max(0, told.ended - spent.others.get(boot, told.written))


def refusal(limits: Limits, use: Use, tokens: float, moment: datetime) -> LimitExceeded | None:
    """Why one more request, which is expected to use so many tokens, is too many: of several reasons the one
    that lasts longest. None when it is not.

    ``moment`` is the time in UTC. What is expected to use more tokens than a minute allows is let through when the
    minute is empty: it could never be served else.
    """
    found = [*_rate(limits, use, tokens), *_budget(limits, use, moment), *_concurrent(limits, use)]
    return max(found, key=lambda one: one.retry_after or 0.0, default=None)


def _concurrent(limits: Limits, use: Use) -> Iterator[LimitExceeded]:
    if limits.max_concurrent is not None and use.in_flight >= limits.max_concurrent:
        yield TooManyConcurrent(
            f"{use.in_flight} of your requests are in flight: {limits.max_concurrent} may be at once.",
            hint="Let one of them finish.",
            retry_after=BUSY_RETRY,
        )


def _rate(limits: Limits, use: Use, tokens: float) -> Iterator[LimitExceeded]:
    for limit, counts, amount, what in (
        (limits.requests_per_minute, use.requests, 1.0, "requests"),
        (limits.tokens_per_minute, use.tokens, tokens, "tokens"),
    ):
        if limit is None:
            continue
        wanted = min(amount, limit)
        if counts.used(use.now) + wanted > limit:
            wait = counts.seconds_until_fits(wanted, limit, use.now)
            yield RateLimitExceeded(
                f"The limit of {limit:,} {what} per minute is reached.",
                hint=f"Try again in {duration(wait)}.",
                retry_after=math.ceil(wait),
            )


def _budget(limits: Limits, use: Use, moment: datetime) -> Iterator[LimitExceeded]:
    for limit, spent, end, what in (
        (limits.tokens_per_day, use.today, next_day(moment), "day"),
        (limits.tokens_per_month, use.this_month, next_month(moment), "month"),
    ):
        if limit is None or spent is None:
            continue
        if spent >= limit:
            yield BudgetExceeded(
                f"The budget of {limit:,} tokens per {what} is used up.",
                hint=f"It begins anew at {end:%Y-%m-%d} 00:00 UTC.",
                retry_after=math.ceil((end - moment).total_seconds()),
            )
        elif spent + use.reserved >= limit:
            yield BudgetExceeded(
                f"What is left of the budget of {limit:,} tokens per {what} may be used by your requests in flight.",
                hint="Let them finish.",
                retry_after=RESERVED_RETRY,
            )


def next_day(moment: datetime) -> datetime:
    return datetime.combine(moment.date() + timedelta(days=1), time(), UTC)


def next_month(moment: datetime) -> datetime:
    return datetime.combine((moment.date().replace(day=1) + timedelta(days=32)).replace(day=1), time(), UTC)


def headers(limits: Limits, use: Use) -> Headers:
    """The headers that tell clients of OpenAI how far they are from a limit."""
    lines: Headers = []
    for limit, counts, what in (
        (limits.requests_per_minute, use.requests, "requests"),
        (limits.tokens_per_minute, use.tokens, "tokens"),
    ):
        if limit is not None:
            left = max(0, math.floor(limit - counts.used(use.now)))
            lines += [
                (f"x-ratelimit-limit-{what}".encode(), str(limit).encode()),
                (f"x-ratelimit-remaining-{what}".encode(), str(left).encode()),
                (f"x-ratelimit-reset-{what}".encode(), duration(counts.seconds_until_empty(use.now)).encode()),
            ]
    return lines


def duration(seconds: float) -> str:
    """A time as OpenAI writes it: ``20ms``, ``1s``, ``6m0s``, ``1h0m0s``."""
    if 0 < seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    whole = math.ceil(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
