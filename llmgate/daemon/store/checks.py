"""What may be stored as a name, a label or a level. Everything here raises InvalidRequest."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterable

from llmgate.errors import InvalidRequest

_USER_NAME = re.compile(r"[\w.@+-]{1,64}")
_KEY_NAME = re.compile(r"[a-z0-9_-]{1,40}")


def normalised(text: str) -> str:
    """The text in Unicode's NFKC form, so that what looks the same is the same."""
    return unicodedata.normalize("NFKC", text[:1000])


def user_name(text: str) -> str:
    name = normalised(text)
    if not _USER_NAME.fullmatch(name):
        raise InvalidRequest(
            "This is not a usable user name.", hint="Use 1 to 64 letters, digits or any of . _ @ + -", param="name"
        )
    return name


def key_name(text: str) -> str:
    if not _KEY_NAME.fullmatch(text):
        raise InvalidRequest(
            "This is not a usable key name.", hint="Use 1 to 40 of a-z, 0-9, underscore and hyphen.", param="name"
        )
    return text


def label(text: str) -> str:
    if len(text) > 200 or not all(character.isprintable() for character in text):
        raise InvalidRequest("This is not a usable label.", hint="Use up to 200 printable characters.", param="label")
    return text


def level(value: int | None) -> int | None:
    if value is not None and not 1 <= value <= 5:
        raise InvalidRequest("The level must be 1 to 5.", hint="Level 1 is served first.", param="level")
    return value


def network(text: str, param: str = "cidr") -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A network with host bits cleared and IPv4-mapped IPv6 unmapped. A single address is a network of one."""
    text = text.strip()
    try:
        if not re.fullmatch(r"[0-9a-fA-F.:]+(/[0-9]{1,3})?", text):
            raise ValueError  # masks like /255.0.0.0 and zone ids have more than one reading
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidRequest(
            "This is not an address or a network.", hint="Write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32.", param=param
        ) from None
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if mapped is not None and found.prefixlen >= 96:
        found = ipaddress.ip_network((mapped, found.prefixlen - 96), strict=False)
    return found


def networks(texts: Iterable[str] | None, param: str = "cidrs") -> list[str] | None:
    """Each network once, in its shortest spelling."""
    return None if texts is None else list(dict.fromkeys(str(network(text, param)) for text in texts))
