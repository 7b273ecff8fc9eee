"""deploy/cloudflared.yml: the tunnel's rules, and the setting that belongs to them."""

from __future__ import annotations

import re
import tomllib
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from llmgate.config import ServerSettings, Settings
from llmgate.daemon.auth.ip_whitelist import client_address
from llmgate.daemon.server import KEEP_ALIVE_SECONDS

FILE = Path(__file__).parents[2] / "deploy" / "cloudflared.yml"
ORIGIN = {  # what cloudflared knows of an origin, as far as we use it
    "connectTimeout", "tcpKeepAlive", "keepAliveConnections", "keepAliveTimeout", "disableChunkedEncoding",
    "noTLSVerify",
}  # fmt: skip


def document() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def belonging() -> Settings:
    """The settings in its head."""
    lines = [
        line.removeprefix("#   ") for line in FILE.read_text(encoding="utf-8").splitlines() if line.startswith("#   ")
    ]
    return Settings(**tomllib.loads("\n".join(lines[lines.index("[server]") :])))


def rule_for(path: str) -> str:
    """Where a request goes: the first rule that fits, as cloudflared takes it."""
    for rule in document()["ingress"]:
        if "path" not in rule or re.search(rule["path"], path):
            return str(rule["service"])
    raise AssertionError("the last rule must fit everything")


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "http://127.0.0.1:11435"),
        ("/api/chat", "http://127.0.0.1:11435"),
        ("/gate/ws", "http://127.0.0.1:11435"),
        ("/metrics", "http_status:404"),
        ("/admin/v1/keys", "http_status:404"),
    ],
)
def test_requests_go_to_the_daemon_and_administration_does_not(path: str, service: str) -> None:
    assert rule_for(path) == service


def test_whatever_is_not_ours_ends_in_404() -> None:
    *ours, last = document()["ingress"]
    assert last == {"service": "http_status:404"}
    assert len({rule["hostname"] for rule in ours}) == 1


def test_the_connection_to_the_daemon_is_kept_and_checked() -> None:
    (origin,) = [rule["originRequest"] for rule in document()["ingress"] if "originRequest" in rule]
    assert set(origin) == ORIGIN
    assert origin["noTLSVerify"] is False
    assert origin["disableChunkedEncoding"] is False
    assert int(origin["keepAliveTimeout"].removesuffix("s")) < KEEP_ALIVE_SECONDS


def test_the_settings_in_its_head_are_good_and_belong_to_it() -> None:
    settings = belonging()
    server: ServerSettings = settings.server
    (service,) = [rule["service"] for rule in document()["ingress"] if rule["service"].startswith("http://")]
    assert urlsplit(service).netloc == f"{server.host}:{server.port}"
    assert server.public_url == f"https://{document()['ingress'][-2]['hostname']}"
    assert settings.queue.keepalive_after < 100  # Cloudflare gives up after two minutes of silence


@pytest.mark.parametrize("claimed", [[], ["10.0.0.1"], ["127.0.0.1"], ["10.0.0.1, 127.0.0.1"], ["unknown"]])
def test_the_address_is_the_one_that_cloudflare_has_seen(claimed: list[str]) -> None:
    """Cloudflare writes it behind whatever the client has sent."""
    trusted = [ip_network(network) for network in belonging().server.trusted_proxies]
    forwarded = [", ".join([*claimed, "203.0.113.7"])]
    assert client_address("127.0.0.1", forwarded, trusted) == "203.0.113.7"
