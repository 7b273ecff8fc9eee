"""What a failure means: something that an operator has to mend, or a broker to wait for."""

from __future__ import annotations

import ssl

import pytest
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelAccessRefused,
    ConnectionClosed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from llmgate.daemon.queue.rabbitmq.connection import BrokerAddress, explain
from llmgate.errors import BrokerUnavailable, ConfigError, LLMGateError
from tests.queue.rabbitmq.support import settings_of

NO_VHOST = "NOT_ALLOWED - vhost nowhere not found"
NO_ACCESS = "NOT_ALLOWED - access to vhost 'x' refused for user 'u'"
FULL = "NOT_ALLOWED - access to vhost 'x' refused for user 'u': connection limit (1) is reached"
DOWN = "NOT_ALLOWED - access to vhost 'x' refused for user 'u': vhost 'x' is down"
NO_PERMISSION = "ACCESS_REFUSED - access to exchange 'llmgate.tickets' in vhost 'x' refused for user 'u'"


@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (ProbableAuthenticationError("ACCESS_REFUSED - Login was refused"), ConfigError, "refuses the login"),
        (ConnectionClosed(530, NO_VHOST), ConfigError, "virtual host of queue.url does not exist"),
        (ConnectionClosed(530, NO_ACCESS), ConfigError, "may not use the virtual host"),
        (ConnectionClosed(530, FULL), BrokerUnavailable, "connection limit (1) is reached"),
        (ConnectionClosed(530, DOWN), BrokerUnavailable, "is down"),
        (ChannelAccessRefused(None, NO_PERMISSION), ConfigError, "lacks a permission"),
        (ssl.SSLCertVerificationError("self-signed certificate"), ConfigError, "No TLS"),
        (TimeoutError(), BrokerUnavailable, "does not answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), BrokerUnavailable, "Connection refused"),
        (AMQPConnectionError("Server connection reset"), BrokerUnavailable, "Server connection reset"),
        (InvalidFrameError("No frame length"), BrokerUnavailable, "No frame length"),
        (ConnectionClosed(320, "CONNECTION_FORCED - broker forced connection closure"), BrokerUnavailable, "FORCED"),
        (BrokerUnavailable("It is not there."), BrokerUnavailable, "It is not there."),
        (ConfigError("It is wrong."), ConfigError, "It is wrong."),
    ],
    ids=lambda value: None if isinstance(value, type) else str(value)[:30],
)
def test_what_a_failure_means(failure: BaseException, kind: type[LLMGateError], says: str) -> None:
    explained = explain(failure, "amqp://host/x")
    assert type(explained) is kind
    assert says in explained.message
    assert "\n" not in explained.text()
    assert " object at 0x" not in explained.text()


@pytest.mark.parametrize(
    "url", ["amqp://user:secret@host:5672/x", "amqp://:secret@host/x", "amqps://user:secret@host/x"]
)
def test_no_password_is_shown(url: str) -> None:
    address = BrokerAddress.of(settings_of(url))
    assert "secret" not in address.shown
    assert "secret" in address.url
    assert "host" in address.shown
