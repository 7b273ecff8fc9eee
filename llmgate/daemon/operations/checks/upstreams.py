"""The upstreams: are they reached, what are they, and do those of one pool have the same models?"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from llmgate.config import UpstreamSettings
from llmgate.daemon.operations.checks.base import Case, Finding, Status, crashed, failed
from llmgate.daemon.upstreams.base import HealthState
from llmgate.daemon.upstreams.health import Health
from llmgate.daemon.upstreams.pool import Member, Pool
from llmgate.daemon.upstreams.registry import KINDS
from llmgate.errors import LLMGateError, UpstreamRejected, UpstreamUnreachable

SHOWN = 5


async def check_upstreams(case: Case) -> Sequence[Finding]:
    settings, upstreams = await case.effective(), await case.upstreams()
    members = [Member(KINDS[one.kind](one, settings.health.timeout), one) for one in upstreams]
    findings = list(await asyncio.gather(*(_inspect(member) for member in members)))
    findings += _pools(members)
    findings += await _tokens(case)
    return findings


async def _inspect(member: Member) -> Finding:
    settings = member.settings
    check = f"upstream.{settings.name}"
    try:
        member.learn(await member.upstream.inspect())
        member.health = Health(HealthState.HEALTHY)
    except LLMGateError as failure:
        return failed(check, failure, _fix(settings, failure))
    except Exception as failure:  # the other upstreams must be heard all the same
        return crashed(check, failure)
    finally:
        await member.upstream.close()
    names = sorted(str(entry["name"]) for entry in (member.listed or {}).values())
    what = f"{settings.kind} {member.version}".strip() + f" at {settings.url}"
    if not names:
        fix = f"ollama pull MODEL, on {settings.url}" if settings.kind == "ollama" else "Start it with a model."
        return Finding(check, Status.WARN, f"{what} has no model.", fix)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return Finding(check, Status.OK, f"{what} has {', '.join(names[:SHOWN])}{more}.")


def _fix(settings: UpstreamSettings, failure: LLMGateError) -> str:
    if isinstance(failure, UpstreamUnreachable):
        return f"Start it, or correct its url. Does it answer? curl {settings.url}"
    if isinstance(failure, UpstreamRejected) and failure.status in (401, 403):
        return "Set its api_key, the bearer token that it wants."
    return f"Is it of the kind {settings.kind!r}, and is its url right? curl {settings.url}"


def _pools(members: Sequence[Member]) -> list[Finding]:
    findings = []
    for name in dict.fromkeys(member.settings.pool_name for member in members):
        pool = Pool(name, [member for member in members if member.settings.pool_name == name])
        pool.refresh()
        if len(pool.members) < 2:
            continue
        check = f"pool.{name}"
        for model, owners in sorted(pool.partial.items()):
            lacking = [one.settings.name for one in pool.members if one.settings.name not in owners and one.listed]
            what = f"{model} is not served: only {', '.join(owners)} of the pool has it."
            fix = f"Install it on {', '.join(lacking)} too, or give {', '.join(owners)} a pool of its own."
            findings.append(Finding(check, Status.WARN, what, fix))
        if not pool.partial and pool.known:
            findings.append(Finding(check, Status.OK, f"Its upstreams have the same {len(pool.models)} models."))
    return findings


async def _tokens(case: Case) -> list[Finding]:
    try:
        unreadable = (await case.stored()).unreadable
    except LLMGateError:
        return []
    what = "Its bearer token in the database cannot be decrypted with this secret key."
    return [
        Finding(f"upstream.{name}.token", Status.FAIL, what, f"Set it anew: llmgate upstreams update {name}")
        for name in unreadable
    ]
