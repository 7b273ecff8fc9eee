"""What the client of the streams says of them: it must see a single byte that is not as it was written."""

from __future__ import annotations

import hashlib

import pytest

from bench.streams import Look, Measured
from bench.streams_client import Delays, Heard, Proof, Unchunked, in_stretches
from bench.streams_upstream import digest_event, ending, timed_event
from bench.upstream import chunk


def written(chunks: int) -> list[bytes]:
    """The events of a stream, one chunk per second from second 100 on."""
    told = [timed_event(7, number, 100.0 + number) for number in range(chunks)]
    digest = hashlib.sha256(b"".join(told)).hexdigest()
    return [*told, digest_event(digest), *ending(chunks)]


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_a_stream_that_comes_in_pieces_is_exact(size: int) -> None:
    body, proof = Unchunked(), Proof(3)
    data = b"".join(map(chunk, written(3))) + b"0\r\n\r\n"
    delays = []
    for begin in range(0, len(data), size):
        delays += proof.feed(body.feed(data[begin : begin + size]), 103.5)
    assert delays == [(100.0, 3.5), (101.0, 2.5), (102.0, 1.5)]
    assert body.ended
    assert proof.holds


@pytest.mark.parametrize("at", range(0, 900, 13))
def test_no_byte_can_be_another_one(at: int) -> None:
    data = bytearray(b"".join(written(3)))
    data[at] ^= 1
    proof = Proof(3)
    try:
        proof.feed(bytes(data), 103.5)
    except ValueError:
        return
    assert not proof.holds


def test_no_event_can_be_missing_or_come_twice() -> None:
    events = written(3)
    for number, one in enumerate(events):
        for changed in (events[:number] + events[number + 1 :], [*events[:number], one, *events[number:]]):
            proof = Proof(3)
            try:
                proof.feed(b"".join(changed), 103.5)
            except ValueError:
                continue
            assert not proof.holds


def test_what_is_no_chunk_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not end"):
        Unchunked().feed(b"2\r\nabcd\r\n")


def test_delays_belong_to_the_stretch_in_which_a_chunk_was_written() -> None:
    moments = [float(moment) for moment in range(10)]
    first, second = in_stretches(moments, [0.001] * 5 + [0.002] * 5, 2)
    assert first == Delays(1.0, 1.0, 1.0)
    assert second == Delays(2.0, 2.0, 2.0)


def test_growth_counts_from_the_end_of_the_first_tenth() -> None:
    looks = [Look(float(at), 100 + at, 10, 0.0) for at in range(62)]
    measured = Measured(60, Heard(1, 1, {}, 1, [], 0.0), looks, 0.0)
    assert measured.growth(lambda look: look.memory) == pytest.approx(100 * 54 / 106)
    assert measured.at_ends(lambda look: look.memory) == [112, 124, 136, 148, 160]
    assert (measured.steady[0].at, measured.steady[-1].at) == (4, 60)
