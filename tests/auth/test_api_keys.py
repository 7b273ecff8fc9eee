"""The form of API keys and registration tokens."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgate.daemon import ids
from llmgate.daemon.auth import api_keys, registration
from llmgate.daemon.auth.secrets import ServerSecret

SECRET = ServerSecret(bytes(range(32)))
KEY = api_keys.generate(SECRET)
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def test_a_key_has_the_documented_form_and_checksum() -> None:
    assert re.fullmatch(r"llmg_[0-9A-Za-z]{10}_[0-9A-Za-z]{32}[0-9A-Za-z]{6}", KEY.text)
    checksum = 0
    for digit in KEY.text[-6:]:
        checksum = checksum * 62 + BASE62.index(digit)
    assert checksum == zlib.crc32(KEY.text[:-6].encode())
    assert api_keys.parse(KEY.text) == KEY.id == KEY.text[5:15]
    assert KEY.last4 == KEY.text[-4:]


def test_a_key_does_not_show_itself() -> None:
    assert KEY.text not in repr(KEY)
    assert KEY.digest not in repr(KEY)


def test_digests_depend_on_the_whole_key_and_on_the_server() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", KEY.digest)
    assert api_keys.digest(SECRET, KEY.text) == KEY.digest
    assert api_keys.digest(SECRET, KEY.text[:-1]) != KEY.digest
    assert api_keys.digest(ServerSecret(bytes(32)), KEY.text) != KEY.digest


@given(place=st.integers(0, len(KEY.text) - 1), character=st.sampled_from(BASE62 + "_-. \n\0é"))
def test_one_wrong_character_is_always_noticed(place: int, character: str) -> None:
    wrong = KEY.text[:place] + character + KEY.text[place + 1 :]
    assert (api_keys.parse(wrong) is None) == (wrong != KEY.text)


@given(place=st.integers(5, len(KEY.text) - 2))
def test_two_swapped_characters_are_always_noticed(place: int) -> None:
    letters = list(KEY.text)
    letters[place], letters[place + 1] = letters[place + 1], letters[place]
    wrong = "".join(letters)
    assert (api_keys.parse(wrong) is None) == (wrong != KEY.text)


@given(st.text(max_size=80))
def test_other_text_is_no_key(text: str) -> None:
    assert api_keys.parse(text) is None
    assert api_keys.parse(KEY.text + text) == (None if text else KEY.id)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_base_62_has_six_digits_for_every_checksum(number: int) -> None:
    text = ids.to_base62(number, 6)
    assert len(text) == 6
    value = 0
    for digit in text:
        value = value * 62 + BASE62.index(digit)
    assert value == number


def test_a_registration_token_cannot_be_taken_for_a_key() -> None:
    text, digest = registration.new_token(SECRET)
    assert re.fullmatch(r"llmr_[0-9A-Za-z]{38}", text)
    assert api_keys.parse(text) is None
    assert digest != api_keys.digest(SECRET, text)


def test_a_thousand_ids_are_different_and_in_the_order_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for milliseconds in range(1000):
        monkeypatch.setattr("time.time_ns", lambda moment=milliseconds: (1_700_000_000_000 + moment) * 1_000_000)
        made.append(ids.new_id())
    assert made == sorted(set(made))
    assert all(re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", made_id) for made_id in made)
