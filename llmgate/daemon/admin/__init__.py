"""The admin API, mounted at ``/admin/v1``: one noun per module, for administrators only."""

from __future__ import annotations

from fastapi import Depends, FastAPI

from llmgate.daemon.admin import keys, queue, system, tokens, upstreams, usage, users, whitelist
from llmgate.daemon.admin.api import create_api
from llmgate.daemon.admin.dependencies import admin
from llmgate.daemon.services import Services

_NOUNS = (users, tokens, keys, whitelist, queue, usage, upstreams, system)


def create_admin(services: Services) -> FastAPI:
    """The application. That the caller is an administrator is checked before every route."""
    routers = [noun.router for noun in _NOUNS]
    return create_api(services, "llmgate admin API", routers, dependencies=[Depends(admin)])
