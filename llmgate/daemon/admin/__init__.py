"""The admin API, mounted at ``/admin/v1``: one noun per module, for administrators only."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from llmgate.daemon.admin import (
    activity,
    events,
    keys,
    models,
    pools,
    queue,
    sessions,
    settings,
    system,
    tokens,
    upstreams,
    usage,
    users,
    whitelist,
)
from llmgate.daemon.admin.api import create_api
from llmgate.daemon.admin.dependencies import admin
from llmgate.daemon.admin.openapi import About
from llmgate.daemon.auth.credentials import cookie_name
from llmgate.daemon.services import Services

_NOUNS = (
    users,
    tokens,
    keys,
    whitelist,
    queue,
    usage,
    upstreams,
    pools,
    models,
    events,
    system,
    activity,
    sessions,
    settings,
)


def create_admin(services: Services) -> FastAPI:
    """The application. That the caller is an administrator is checked before every route."""
    routers = [noun.router for noun in _NOUNS]
    about = About(
        title="llmgate admin API",
        description="Everything that an administrator does. The command line uses nothing else.",
        mount="/admin/v1",
        cookie=cookie_name(services.settings.server),
        admits_addresses=False,
    )
    return create_api(services, about, routers, dependencies=[Depends(admin)], judge=admin)
