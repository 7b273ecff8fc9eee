"""What a page must know before anybody has logged in."""

from __future__ import annotations

from fastapi import APIRouter, Request

from llmgate import __version__, schemas
from llmgate.daemon.admin.dependencies import Daemon, principal
from llmgate.daemon.gate.cookies import cookies_of
from llmgate.daemon.services import Services
from llmgate.errors import LLMGateError

router = APIRouter(prefix="/about", tags=["about"])


@router.get("")
async def show(daemon: Daemon, request: Request) -> schemas.AboutGate:
    """How one gets in here. It asks for no credential; who has one, and nobody else, is told the version."""
    settings = daemon.settings
    return schemas.AboutGate(
        version=__version__ if await _is_known(daemon, request) else "",
        registration=settings.auth.registration,
        setup_needed=await daemon.first_admin.is_needed(),
        password_min_length=settings.auth.password_min_length,
        conversations=settings.chat.conversation_days > 0,
        conversation_days=settings.chat.conversation_days,
        cookies=cookies_of(daemon).are_allowed(request),
    )


async def _is_known(daemon: Services, request: Request) -> bool:
    try:
        await principal(request, daemon)
    except LLMGateError:
        return False
    return True
