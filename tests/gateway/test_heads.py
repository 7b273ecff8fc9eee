"""Which heads are served: properties, for whatever may come."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgate.daemon.heads import HEAD_BYTES, check_head, check_size
from llmgate.errors import ExpectationFailed, HeadTooLarge, InvalidRequest, LLMGateError

FRAMING = st.sampled_from(
    [
        (b"content-length", b"5"),
        (b"content-length", b"6"),
        (b"content-length", b"+5"),
        (b"content-length", b" 5 "),
        (b"content-length", b"5,5"),
        (b"transfer-encoding", b"chunked"),
        (b"transfer-encoding", b"Chunked"),
        (b"transfer-encoding", b"gzip, chunked"),
        (b"transfer-encoding", b""),
        (b"content_length", b"5"),
        (b"host", b"gate.example"),
        (b"host", b"other.example"),
        (b"x-other", b"1"),
        (b"x_other", b"1"),
    ]
)


def is_served(version: str, headers: list[tuple[bytes, bytes]]) -> bool:
    try:
        check_head("POST", b"/api/chat", version, headers)
    except InvalidRequest:
        return False
    return True


@given(st.sampled_from(["1.1", "1.0", "2.0", "0.9"]), st.lists(FRAMING, max_size=5))
def test_what_is_served_can_be_read_in_one_way_only(version: str, headers: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in headers]
    values = dict(headers)
    one_end = names.count(b"content-length") + names.count(b"transfer-encoding") <= 1
    plain = re.fullmatch(rb"\s*\d*\s*", values.get(b"content-length", b"")) is not None
    chunked = values.get(b"transfer-encoding", b"chunked").lower() == b"chunked"
    hosts = names.count(b"host") == 1 or (version == "1.0" and names.count(b"host") == 0)
    clear = b"content_length" not in names and not (b"x_other" in names and b"x-other" in names)
    clear = clear and names.count(b"x_other") <= 1
    old = version == "1.0" and b"transfer-encoding" in names
    known = version in {"1.1", "1.0"}
    assert is_served(version, headers) == (one_end and plain and chunked and hosts and clear and known and not old)


@given(st.binary(max_size=40))
def test_no_host_breaks_out_of_a_url(host: bytes) -> None:
    if is_served("1.1", [(b"host", host)]):
        assert re.search(rb"[^A-Za-z0-9._:\[\]-]", host) is None
        assert host


@given(st.binary(max_size=40))
def test_no_target_is_read_as_anything_but_a_path(target: bytes) -> None:
    try:
        check_head("GET", target, "1.1", [(b"host", b"x")])
    except LLMGateError:
        return
    assert target.startswith(b"/")
    assert all(0x21 <= byte <= 0x7E for byte in target)


def test_all_options_may_be_asked_for_and_of_expectations_one() -> None:
    check_head("OPTIONS", b"*", "1.1", [(b"host", b"x")])
    check_head("POST", b"/", "1.1", [(b"host", b"x"), (b"expect", b"100-Continue")])
    with pytest.raises(ExpectationFailed):
        check_head("POST", b"/", "1.1", [(b"host", b"x"), (b"expect", b"200-ok")])
    with pytest.raises(InvalidRequest):
        check_head("GET", b"*", "1.1", [(b"host", b"x")])


def test_a_head_is_as_large_as_all_its_parts() -> None:
    check_size(b"/", [(b"a", b"b" * (HEAD_BYTES - 10))])
    with pytest.raises(HeadTooLarge):
        check_size(b"/" * 10, [(b"a", b"b" * (HEAD_BYTES - 10))])
