"""The daemon's process on this machine, if we may see it."""

from __future__ import annotations

from contextlib import suppress

import psutil


def listener_on(port: int) -> psutil.Process | None:
    """The process that listens on a port; None when there is none, or it is somebody else's."""
    with suppress(psutil.Error, OSError):
        for connection in psutil.net_connections(kind="tcp"):
            address = tuple(connection.laddr)
            if connection.status == psutil.CONN_LISTEN and address[1:] == (port,) and connection.pid:
                return psutil.Process(connection.pid)
    return None
