"""The same payloads through deploy/nginx.conf: what nginx takes for one request never becomes two behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmgate.config import ServerSettings
from tests.attacks.smuggling import PAYLOADS, answers, conversation
from tests.chat.harness import until
from tests.deploy.nginx import NAME, nginx_before
from tests.fakes import FakeOllama
from tests.gateway.harness import run_gateway, settings_for, upstream_for

ASKED = "/api/chat"


@pytest.mark.long
async def test_nginx_and_the_gateway_agree_about_where_a_request_ends(tmp_path: Path) -> None:
    server = ServerSettings(port=0, drain_seconds=5, trusted_proxies=["127.0.0.1/32"], public_url=f"https://{NAME}")
    async with (
        FakeOllama() as upstream,
        run_gateway(settings_for(tmp_path / "state", [upstream_for(upstream)], server=server)) as gateway,
        nginx_before(tmp_path / "nginx", [gateway.url]) as front,
    ):
        for payload in PAYLOADS:
            logged, seen = len(front.log().splitlines()), len(upstream.requests)
            heard = await conversation(await front.connect(), *payload.text(gateway.key))
            said, came = answers(heard), len(upstream.requests) - seen

            def asked(since: int = logged) -> int:
                return sum(ASKED in line for line in front.log().splitlines()[since:])

            # nginx writes down what it has read as a request, when that is answered; but for one that it cannot read.
            await until(lambda came=came: asked() >= came)  # type: ignore[misc]
            assert len(said) <= len(front.log().splitlines()) - logged + 1, (payload.name, said)
        async with front.client(headers={"authorization": f"Bearer {gateway.key}"}) as client:
            body = {"model": "llama3.2", "messages": [], "stream": False}
            assert [(await client.post(ASKED, json=body)).status_code for _ in range(20)] == [200] * 20
