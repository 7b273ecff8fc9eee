"""Access tokens: what is not exactly ours is refused. The attacks are those of RFC 8725 and of jose's advisories."""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jose import jwt

from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.tokens import AccessTokens
from llmgate.errors import AuthenticationFailed

SECRET = ServerSecret(bytes(range(32)))
KEY = SECRET.derive("access-token").hex()
TOKENS = AccessTokens(SECRET, minutes=lambda: 15)
NOW = datetime.now(UTC)
GOOD = TOKENS.issue(user_id="user", session_id="session", now=NOW)
SECONDS = int(time.time())
CLAIMS: dict[str, Any] = {
    "iss": "llmgate",
    "aud": "llmgate",
    "sub": "user",
    "sid": "session",
    "jti": "one",
    "iat": SECONDS,
    "nbf": SECONDS,
    "exp": SECONDS + 6000,
}
HEADER = {"alg": "HS256", "typ": "JWT"}


def _part(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def _signed(header: object, claims: object, *, key: str = KEY, digest: str = "sha256") -> str:
    body = f"{_part(header)}.{_part(claims)}"
    mac = hmac.digest(key.encode(), body.encode(), digest)
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _refused(token: str) -> None:
    with pytest.raises(AuthenticationFailed):
        TOKENS.read(token)


def test_an_issued_token_can_be_read() -> None:
    claims = TOKENS.read(GOOD)
    assert (claims.user_id, claims.session_id) == ("user", "session")
    assert claims.expires_at == (NOW + timedelta(minutes=15)).replace(microsecond=0)
    assert TOKENS.seconds == 900


def test_the_forge_of_these_tests_makes_good_tokens_when_it_is_told_to() -> None:
    assert TOKENS.read(_signed(HEADER, CLAIMS)).session_id == "session"


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_every_claim_is_required(claim: str) -> None:
    _refused(_signed(HEADER, {name: value for name, value in CLAIMS.items() if name != claim}))


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"aud": "other"},
        {"aud": []},
        {"aud": ["other"]},
        {"aud": None},
        {"exp": SECONDS - 60},
        {"exp": "soon"},
        {"exp": None},
        {"exp": []},
        {"nbf": SECONDS + 6000},
        {"nbf": {}},
        {"iat": "yesterday"},
        {"sub": 7},
        {"sub": None},
        {"sid": 7},
        {"sid": ""},
        {"sid": None},
        {"sid": ["session"]},
        {"jti": 7},
    ],
)
def test_a_claim_of_another_value_or_type_is_refused(change: dict[str, Any]) -> None:
    _refused(_signed(HEADER, CLAIMS | change))


@pytest.mark.parametrize(
    "header",
    [
        *(
            {"alg": algorithm, "typ": "JWT"}
            for algorithm in ("none", "None", "NONE", "nOnE", "", None, "RS256", "ES256")
        ),
        *(
            {"alg": algorithm, "typ": "JWT"}
            for algorithm in ("HS384", "HS512", "hs256", "dir", "A256KW", 256, ["HS256"])
        ),
        *({**HEADER, name: "x"} for name in ("kid", "jku", "jwk", "x5u", "x5c", "cty", "zip", "enc", "b64")),
        {**HEADER, "crit": ["exp"]},
        {"alg": "HS256"},
        {"typ": "JWT"},
        {"alg": "HS256", "typ": "at+jwt"},
        {"typ": "JWT", "alg": "HS256"},
        {},
        [],
        "HS256",
        "",
        '{"alg":"none","alg":"HS256","typ":"JWT"}',
        '{"alg": "HS256", "typ": "JWT"}',
    ],
)
def test_any_other_header_is_refused(header: object) -> None:
    for digest in ("sha256", "sha384", "sha512"):
        _refused(_signed(header, CLAIMS, digest=digest))
    _refused(f"{_part(header)}.{_part(CLAIMS)}.")
    _refused(f"{_part(header)}.{_part(CLAIMS)}")


def test_another_key_is_refused() -> None:
    for key in (
        "",
        "x",
        "secret",
        SECRET.derive("api-key").hex(),
        AccessTokens(ServerSecret(bytes(32)), minutes=lambda: 1)._key,
    ):
        _refused(_signed(HEADER, CLAIMS, key=key))
    _refused(str(jwt.encode(CLAIMS, "secret", algorithm="HS256")))


@pytest.mark.parametrize("payload", ["", "[]", "null", "7", '"x"', "{", "\0", '{"exp":1e999}', "{}" * 9])
def test_a_payload_that_is_no_object_is_refused(payload: str) -> None:
    _refused(_signed(HEADER, payload))


def test_a_long_token_is_refused_before_it_is_read() -> None:
    long = _signed(HEADER, CLAIMS | {"extra": "x" * 2_000_000})
    started = time.perf_counter()
    _refused(long)
    assert time.perf_counter() - started < 0.03
    _refused(_signed(HEADER, CLAIMS | {"extra": "x" * 1400}))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "a.b.c.d.e", GOOD + ".", "." + GOOD, GOOD + "=", GOOD + "\n"]
)
def test_other_text_is_refused(token: str) -> None:
    _refused(token)


@given(place=st.integers(0, len(GOOD) - 2), character=st.characters())
def test_any_changed_character_is_refused(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    if changed != GOOD:
        _refused(changed)


@given(st.text(max_size=300))
def test_whatever_follows_our_header_is_refused_without_another_error(text: str) -> None:
    _refused(f"{_part(HEADER)}.{text}")
