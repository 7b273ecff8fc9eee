"""Which addresses an upstream may have: those of IPv4 are also found inside of others."""

from __future__ import annotations

import pytest

from llmgate.addresses import fault_of_host, is_forbidden

METADATA_INSIDE = {
    "written as such": "::ffff:169.254.169.254",
    "NAT64": "64:ff9b::a9fe:a9fe",
    "a network's own NAT64, /96": "64:ff9b:1::a9fe:a9fe",
    "and /96 of any subnet": "64:ff9b:1:ffff:ffff:ffff:a9fe:a9fe",
    "and /48": "64:ff9b:1:a9fe:a9:fe00::",
    "and /48, with something behind": "64:ff9b:1:a9fe:a9:fe00::1",
    "and /56": "64:ff9b:1:a9:fe:a9fe::",
    "and /64": "64:ff9b:1:7:a9:fea9:fe00::",
    "and none": "64:ff9b:1::",
    "6to4": "2002:a9fe:a9fe::1",
    "Teredo, its client": "2001:0:102:304:0:ffff:5601:5601",
    "Teredo, its server": "2001:0:a9fe:a9fe:0:ffff:f5ff:fffe",
    "ISATAP": "2001:db8::5efe:a9fe:a9fe",
    "ISATAP, an address of the world": "2001:db8::200:5efe:a9fe:a9fe",
    "ISATAP in a private network": "fd00:1:2:3:0:5efe:a9fe:a9fe",
}
HARMLESS_INSIDE = {
    "written as such": "::ffff:10.0.0.1",
    "NAT64": "64:ff9b::10.0.0.1",
    "a network's own NAT64, /96": "64:ff9b:1::10.0.0.1",
    "and /48": "64:ff9b:1:a00:0:100::",
    "and /56": "64:ff9b:1:a:0:1::",
    "and /64": "64:ff9b:1:7:a:0:100::",
    "6to4": "2002:a00:1::1",
    "Teredo": "2001:0:102:304:0:ffff:f5ff:fffe",
    "ISATAP": "2001:db8::5efe:10.0.0.1",
    "no ISATAP": "2001:db8::1:5efe:a9fe:a9fe",
    "no Teredo": "2001:db8:a9fe:a9fe::5601:5601",
    "this machine": "::1",
    "a private network": "fd00::a9fe:a9fe",
}


@pytest.mark.parametrize("address", METADATA_INSIDE.values(), ids=METADATA_INSIDE)
def test_a_forbidden_address_is_found_inside_of_another(address: str) -> None:
    assert is_forbidden(address)
    assert fault_of_host(f"[{address}]") is not None


@pytest.mark.parametrize("address", HARMLESS_INSIDE.values(), ids=HARMLESS_INSIDE)
def test_what_holds_an_address_that_may_be_one_may_be_one(address: str) -> None:
    assert not is_forbidden(address)
    assert fault_of_host(f"[{address}]") is None
