"""What everybody may do for themselves, mounted at ``/gate``: log in, and look at one's own requests."""

from __future__ import annotations

from fastapi import FastAPI

from llmgate.daemon.admin.api import create_api
from llmgate.daemon.admin.openapi import About
from llmgate.daemon.auth.credentials import cookie_name
from llmgate.daemon.gate import auth, queue, sessions
from llmgate.daemon.services import Services

PUBLIC = frozenset({"/auth/login", "/auth/refresh", "/auth/register", "/auth/setup"})
"""The routes that ask for no credential, because the caller is about to get one. All others do."""


def create_gate(services: Services) -> FastAPI:
    """The application. Each route but ``PUBLIC`` depends on the caller's principal."""
    about = About(
        title="llmgate for users",
        description="What everybody may do for themselves: log in, and look at one's own requests.",
        mount="/gate",
        cookie=cookie_name(services.settings.server),
        admits_addresses=True,
    )
    return create_api(services, about, [auth.router, sessions.router, queue.router])
