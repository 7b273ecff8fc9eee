"""One gateway for all attacks of a module: behind a proxy of this machine, and known to browsers by its public URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from llmgate.config import ServerSettings
from tests.admin.harness import Site, run_site
from tests.attacks.common import OWN_ORIGIN
from tests.cluster.harness import eventually

SERVER = ServerSettings(
    port=0, drain_seconds=5, public_url=OWN_ORIGIN, allow_insecure_cookies=True, trusted_proxies=["127.0.0.1"]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with run_site(tmp_path_factory.mktemp("attacked") / "state", server=SERVER) as site:
        await eventually(lambda: usable(site), 20, pause=0.01)
        yield site


async def usable(site: Site) -> bool:
    """Whether its upstream is known already."""
    return (await site.nobody.get("/health/ready")).status_code == 200


@pytest.fixture
def site(running: Site) -> Iterator[Site]:
    """What one attack has made the gateway believe or fear is forgotten before the next."""
    yield running
    running.nobody.cookies.clear()
    services = running.gateway.services
    services.authenticator.invalidate()
    services.sessions.throttle._records.clear()
