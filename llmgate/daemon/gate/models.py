"""The models that one may ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from llmgate import schemas
from llmgate.daemon.admin.dependencies import Caller, Daemon, Part
from llmgate.daemon.upstreams.capabilities import Capabilities
from llmgate.daemon.upstreams.models import number_of, text_of

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def list_models(daemon: Daemon, caller: Caller, part: Part) -> schemas.Page[schemas.UsableModel]:
    """The models that the caller may use, over all pools, by name. Those that are known to only embed are left out.

    What a model can do is asked of its upstream, once. Where that takes longer than two seconds it is null, and known
    later.
    """
    abilities = await daemon.capabilities.all(caller.may_use)
    loaded = {str(entry["name"]) for entry in daemon.upstreams.ps(caller.may_use)}
    rows = [
        _row(entry, can, str(entry["name"]) in loaded, daemon.chat.windows.now(str(entry["name"]), can, caller.may_use))
        for entry in daemon.upstreams.tags(caller.may_use)
        if (can := abilities.get(str(entry["name"]), Capabilities())).chats is not False
    ]
    rows.sort(key=lambda row: row.name)
    return part.page([row for row in rows if part.after is None or row.name > part.after], schemas.UsableModel, "name")


def _row(entry: Mapping[str, Any], can: Capabilities, is_loaded: bool, window: int) -> schemas.UsableModel:
    told = entry.get("details")
    details = told if isinstance(told, Mapping) else {}
    return schemas.UsableModel(
        name=str(entry["name"]),
        loaded=is_loaded,
        vision=can.vision,
        thinking=can.thinking,
        tools=can.tools,
        context_length=can.context_length,
        window=window,
        parameters=text_of(details.get("parameter_size")),
        quantization=text_of(details.get("quantization_level")),
        size=number_of(entry.get("size")),
    )
