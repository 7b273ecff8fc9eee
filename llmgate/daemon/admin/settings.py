"""Settings: what is in effect and who decides it; some can be changed while the daemons run."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from llmgate import schemas
from llmgate.config import Settings
from llmgate.config_keys import Key, key_of, keys
from llmgate.daemon.admin.answers import raises
from llmgate.daemon.admin.dependencies import Daemon, Part
from llmgate.daemon.admin.editing import FORCE_HINT, Acting, Editing, Force, tagged
from llmgate.daemon.reconfiguration import Judge
from llmgate.daemon.services import Services
from llmgate.daemon.store import settings
from llmgate.daemon.store.settings import StoredSetting
from llmgate.errors import ConfigError, NotFound, WouldLockOut

router = APIRouter(prefix="/settings", tags=["settings"])


@router.get("")
async def list_settings(daemon: Daemon, part: Part) -> schemas.Page[schemas.Setting]:
    """Every setting, in the order of the configuration file. Upstreams are a noun of their own."""
    async with daemon.database.read() as tx:
        stored = await settings.rows(tx)
    return part.out_of([_row(daemon, key, stored) for key in keys().values()], key="key")


@router.post("/reload", responses=raises(ConfigError, WouldLockOut))
async def reload(daemon: Daemon, acting: Acting, request: Request, force: Force = False) -> schemas.ConfigReload:
    """Let the daemon that is asked, with all its workers, read its file and its environment again: all that can be
    changed at run time is taken over, or nothing. 409 when the configuration is not usable, or would lock the caller
    out."""
    judge = _allowing(daemon, acting.actor.address, force=force)
    found = await daemon.reconfiguration.reload(acting.actor, judge)
    daemon.reconfiguration.to_siblings()
    return schemas.ConfigReload(
        path=str(found.path) if found.path else None,
        changed=[
            schemas.SettingChange(key=key, before=before, after=after) for key, (before, after) in found.changed.items()
        ],
        needs_restart=found.needs_restart,
        reloadable=found.has_sources,
    )


@router.get("/{key}")
async def show(daemon: Daemon, response: Response, key: str) -> schemas.Setting:
    """A setting."""
    found = key_of(key)
    async with daemon.database.read() as tx:
        return tagged(response, _row(daemon, found, await settings.rows(tx)))


@router.put("/{key}")
async def put(
    daemon: Daemon, editing: Editing, response: Response, key: str, body: schemas.SettingValue, force: Force = False
) -> schemas.Setting:
    """Change a setting, in all daemons. 409 when flag, environment or file decide it, or when the change would lock
    the caller out."""
    found = key_of(key)
    live = daemon.live
    async with editing.begin() as change:
        stored = await settings.rows(change.tx)
        editing.expect(_row(daemon, found, stored))
        live.check_mutable(found)
        found.check(body.value)
        overrides = {**live.usable(_values(stored)), found.name: body.value}
        after = live.composed(overrides)
        _allowing(daemon, editing.actor.address, force=force)(live.settings, after)
        # As the settings have it: 30 for a number is 30.0 everywhere.
        value = overrides[found.name] = found.of(after)
        await settings.put(change.tx, found.name, value, by=editing.actor.name or editing.actor.id)
        version = await settings.bump(change.tx)
        stored = await settings.rows(change.tx)
        change.note("settings.set", found.name, found.name, value=[found.of(live.settings), value])
    await daemon.reconfiguration.made(version, overrides)
    return tagged(response, _row(daemon, found, stored))


@router.delete("/{key}")
async def reset(
    daemon: Daemon, editing: Editing, response: Response, key: str, force: Force = False
) -> schemas.Setting:
    """Take a change back, in all daemons: what decides otherwise does so again. 404 when the database says nothing of
    this setting."""
    found = key_of(key)
    live = daemon.live
    async with editing.begin() as change:
        stored = await settings.rows(change.tx)
        editing.expect(_row(daemon, found, stored))
        if not await settings.delete(change.tx, found.name):
            raise NotFound(f"{found.name} is not set in the database.", hint="Nothing has to be taken back.")
        overrides = live.usable({name: value for name, value in _values(stored).items() if name != found.name})
        after = live.composed(overrides)
        _allowing(daemon, editing.actor.address, force=force)(live.settings, after)
        version = await settings.bump(change.tx)
        change.note("settings.reset", found.name, found.name, value=[found.of(live.settings), found.of(after)])
    await daemon.reconfiguration.made(version, overrides)
    return tagged(response, _row(daemon, found, {}))


def _values(stored: Mapping[str, StoredSetting]) -> dict[str, object]:
    return {name: row.value for name, row in stored.items()}


def _row(daemon: Services, key: Key, stored: Mapping[str, StoredSetting]) -> schemas.Setting:
    live = daemon.live
    locked = live.why_not(key)
    row = stored.get(key.name)
    return schemas.Setting(
        key=key.name,
        value=key.of(live.settings),
        default=key.default,
        origin=live.decider(key.name),
        mutable=locked is None,
        reason="" if locked is None else " ".join(locked),
        description=key.description,
        accepts=dict(key.schema),
        updated_at=row.updated_at if row else None,
        updated_by=row.updated_by if row else None,
    )


def _allowing(daemon: Services, address: str, *, force: bool) -> Judge:
    """Raises WouldLockOut when this address, the caller's, would need a credential where it needs none now, or would
    be served later than now."""

    def judge(before: Settings, after: Settings) -> None:
        entry = daemon.whitelist.match(address) if before.auth.whitelist and not force else None
        if entry is None:
            return
        if not after.auth.whitelist:
            raise WouldLockOut(
                f"You come from {address}, which {entry.cidr} lets in: it would need a credential.", hint=FORCE_HINT
            )
        was, will_be = (entry.level or one.levels.whitelist for one in (before, after))
        if will_be > was:
            raise WouldLockOut(
                f"You come from {address}: it would fall from level {was} to {will_be}.", hint=FORCE_HINT
            )

    return judge
