"""What the addresses of daemons say: a name for a new one, and whether a password may travel there."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from urllib.parse import urlsplit


def name_for(known: Collection[str], url: str) -> str:
    """A context name for a daemon that has none: "default" for the first, then the host's name."""
    if not known:
        return "default"
    host = re.sub(r"[^a-z0-9_-]+", "-", urlsplit(url).netloc.lower()).strip("-")[:36] or "daemon"
    names = [host, *(f"{host}-{number}" for number in range(2, 1000))]
    return next(name for name in names if name not in known)


def readable_on_the_way(url: str) -> bool:
    """Whether others could read what is sent there: it is neither encrypted nor on this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not _is_local(parts.hostname or "")


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
