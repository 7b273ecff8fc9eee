"""Errors of a command, or of a daemon that cannot start. No client of the gateway sees them."""

from __future__ import annotations

from llmgate.errors.base import LLMGateError


class ConfigError(LLMGateError):
    """The configuration is not usable."""

    code = "config_invalid"
    status = 409
    exit_code = 6


class StartupError(LLMGateError):
    """The daemon cannot start."""

    code = "startup_failed"


class AddressInUse(StartupError):
    """The address is already in use."""

    code = "address_in_use"
    exit_code = 6


class StateUnreadable(StartupError):
    """A file of the state directory cannot be used."""

    code = "state_unreadable"


class ClientError(LLMGateError):
    """The command cannot be carried out."""

    code = "client_error"


class InputNeeded(ClientError):
    """Something is missing that may not be asked for here."""

    code = "input_needed"
    exit_code = 2


class Declined(ClientError):
    """Nothing was changed."""

    code = "declined"
    exit_code = 3


class DaemonUnreachable(ClientError):
    """The daemon cannot be reached."""

    code = "daemon_unreachable"
    exit_code = 7


class DaemonTimeout(ClientError):
    """The daemon did not answer in time."""

    code = "daemon_timeout"
    exit_code = 8
