"""What everybody may do for themselves, mounted at ``/gate``: log in, chat, and look at one's own affairs."""

from __future__ import annotations

from fastapi import FastAPI

from llmgate.daemon.admin.api import create_api
from llmgate.daemon.admin.openapi import About
from llmgate.daemon.auth.credentials import cookie_name
from llmgate.daemon.gate import about, auth, chat, conversations, images, keys, models, queue, sessions, usage
from llmgate.daemon.services import Services

PUBLIC = frozenset({"/about", "/auth/login", "/auth/refresh", "/auth/register", "/auth/setup"})
"""The routes that ask for no credential, because the caller is about to get one. All others do."""


def create_gate(services: Services) -> FastAPI:
    """The application. Each route but ``PUBLIC`` depends on the caller's principal."""
    described = About(
        title="llmgate for users",
        description="What everybody may do for themselves: log in, chat, and look at one's own affairs.",
        mount="/gate",
        cookie=cookie_name(services.settings.server),
        admits_addresses=True,
    )
    routers = [
        module.router for module in (about, auth, sessions, chat, conversations, images, keys, models, queue, usage)
    ]
    return create_api(services, described, routers)
