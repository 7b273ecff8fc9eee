"""A broker that speaks TLS only: with the right authority and certificate it is as any other."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llmgate.errors import ConfigError
from tests.queue.backends import is_quiet, until
from tests.queue.factory import a_ticket
from tests.queue.rabbitmq.certificates import Authority
from tests.queue.rabbitmq.test_two_daemons import daemon
from tests.services.fixtures import StartBroker
from tests.services.ports import free_ports


@pytest.fixture
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Authority(Path(folder))


async def test_tls_with_certificates_on_both_sides(broker: StartBroker, authority: Authority) -> None:
    certificate, key = authority.sign("broker")
    mine, my_key = authority.sign("client")
    [port] = free_ports(1)
    broker(
        config={
            "listeners.ssl.1": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": authority.file,
            "ssl_options.certfile": certificate,
            "ssl_options.keyfile": key,
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        }
    )
    url = f"amqps://guest:guest@127.0.0.1:{port}"
    right: dict[str, Any] = {"tls_ca_file": authority.file, "tls_cert_file": mine, "tls_key_file": my_key}
    async with daemon(url, "one", **right) as one:
        await until(lambda: is_quiet(one))
        assert (await (await one.submit(a_ticket("a1", at=one.now()))).granted(5)).upstream == "gpu"
    for wrong in ({"tls_ca_file": None}, {"tls_ca_file": Path("/nowhere.pem")}):
        with pytest.raises(ConfigError) as refused:
            async with daemon(url, "two", **right | wrong):
                pass
        assert "queue.tls_" in refused.value.text()
    assert "queue.tls_" in await reason_not_to_work(url, **right | {"tls_cert_file": None})


async def reason_not_to_work(url: str, **settings: Any) -> str:
    """Who lacks a certificate is told so, or only hung up on: that depends on who is faster."""
    try:
        async with daemon(url, "three", **settings) as three:
            assert three.status().state == "degraded"
            return three.status().reason
    except ConfigError as refused:
        return refused.text()
