"""The settings of how the gateway is reached."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from llmgate.config_queue import RUN_TIME, Seconds, Section
from llmgate.urls import fault_of_public_url, path_of


class ServerSettings(Section):
    host: str = Field("127.0.0.1", description="Address to listen on. 0.0.0.0 or :: for every interface.")
    port: int = Field(11435, ge=0, le=65535, description="Port to listen on. 0 takes any free one.")
    public_url: str = Field(
        "",
        description="URL under which browsers reach the gateway, also one with a path like https://example.com/ai; "
        "empty: http://host:port.",
    )
    allow_insecure_cookies: bool = Field(
        False,
        description="Allow session cookies over plain http, for a public_url that is http. On this machine itself "
        "(http://127.0.0.1, http://localhost) they need no leave.",
    )
    trusted_proxies: list[str] = Field(
        default_factory=list,
        description='Networks whose X-Forwarded-For is believed, e.g. ["127.0.0.1/32"]. Nobody by default.',
    )
    drain_seconds: Seconds = Field(
        30, description="On SIGTERM, how long running answers may go on.", json_schema_extra=RUN_TIME
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest request body.", json_schema_extra=RUN_TIME
    )
    max_connections: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Connections at once; 0: as many as the limit of file descriptors allows, which is also the most. "
        "When there are so many, those that ask for nothing make room; if all do, new ones get 503.",
        json_schema_extra=RUN_TIME,
    )
    max_connections_per_address: int = Field(
        1000,
        ge=0,
        description="Connections at once from one address (IPv6: one /64), and never more than half of all; others get "
        "429. 0: no such limit. It does not hold for this machine itself and for server.trusted_proxies.",
        json_schema_extra=RUN_TIME,
    )
    peer_host: str = Field(
        "",
        description="Address at which the other daemons of a cluster reach this one, for chats that a browser follows "
        "at another daemon. Default: server.host, or of all its addresses the machine's own.",
    )
    peer_port: int = Field(
        0, ge=0, le=65535, description="Port for that: the first of 64 from it on that is free. 0 takes any free one."
    )

    @field_validator("public_url")
    @classmethod
    def browsers_can_use_it(cls, value: str) -> str:
        if value and (fault := fault_of_public_url(value)):
            raise ValueError(fault)
        return value.rstrip("/")

    @property
    def public_path(self) -> str:
        """What stands before every path as browsers see it: ``/ai``, or nothing."""
        return path_of(self.public_url)

    @field_validator("trusted_proxies")
    @classmethod
    def networks_are_narrow(cls, value: list[str]) -> list[str]:
        for item in value:
            if ipaddress.ip_network(item, strict=False).prefixlen == 0:
                raise ValueError(f"{item} trusts the whole internet; name the proxy's own address")
        return value
