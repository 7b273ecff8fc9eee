"""Forged, stolen and mixed up tokens of sessions (RFC 8725, RFC 9700, and the advisories of JWT libraries)."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from jose import jwt

from llmgate.daemon.auth import tokens
from llmgate.daemon.auth.principals import Principal
from llmgate.daemon.auth.secrets import ServerSecret
from llmgate.daemon.auth.sessions import Sessions, Tokens
from llmgate.daemon.store import users
from llmgate.daemon.store.sessions import Session
from llmgate.daemon.store.types import utc_now
from tests.admin.harness import Site
from tests.attacks.cases import Attack, repelled
from tests.attacks.common import a_user, bearer, logged_in, status_as

HEADER = {"alg": "HS256", "typ": "JWT"}
ME, REFRESH = "/gate/auth/me", "/gate/auth/refresh"
Off = Callable[[pytest.MonkeyPatch], None]


def part(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed(header: object, claims: object, key: str, digest: str = "sha256") -> str:
    body = f"{part(header)}.{part(claims)}"
    mac = base64.urlsafe_b64encode(hmac.digest(key.encode(), body.encode(), digest))
    return f"{body}.{mac.rstrip(b'=').decode()}"


async def claims_of_root(site: Site, **changes: Any) -> dict[str, Any]:
    """Those of a live session of the administrator: an attacker may have seen its ids."""
    me, now = (await site.admin.get(ME)).json(), int(time.time())
    claims = {"iss": "llmgate", "aud": "llmgate", "sub": me["id"], "sid": me["session_id"], "jti": "one"}
    return {**claims, "iat": now, "nbf": now - 5, "exp": now + 600, **changes}


def own_key(site: Site) -> str:
    return site.gateway.services.sessions._access._key


async def all_refused(site: Site, forged: list[str]) -> None:
    for token in forged:
        status = await status_as(site, bearer(token))
        repelled(status == 401, f"{token[:300]} was answered with {status}")


# -- not signed, signed with something else, signed as the token wishes -----------------------------


async def unsigned(site: Site) -> None:
    claims, forged = await claims_of_root(site), []
    names = ("none", "None", "nOnE", "", None, "RS256", "ES256", "PS256", "HS384", "HS512", "hs256", "dir", ["HS256"])
    for algorithm in names:
        header = {"alg": algorithm, "typ": "JWT"}
        body = f"{part(header)}.{part(claims)}"
        forged += [body, f"{body}.", f"{body}.{'A' * 43}"]
        forged += [signed(header, claims, "", digest) for digest in ("sha256", "sha384", "sha512")]
    await all_refused(site, forged)


async def confused_key(site: Site) -> None:
    """Everything that is public as the key: an HMAC made with it is what a library that confuses keys takes."""
    services, claims = site.gateway.services, await claims_of_root(site)
    public = ["", "secret", "llmgate", claims["sub"], claims["sid"], services.secret.fingerprint]
    public += ["-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYI\n-----END PUBLIC KEY-----\n"]
    await all_refused(
        site, [signed({**HEADER, "alg": alg}, claims, key) for key in public for alg in ("HS256", "RS256")]
    )


async def another_server(site: Site) -> None:
    other = tokens.AccessTokens(ServerSecret(bytes(32)), minutes=lambda: 15)
    claims = await claims_of_root(site)
    mine = other.issue(user_id=claims["sub"], session_id=claims["sid"], now=utc_now())
    secret = site.gateway.services.secret
    purposes = [secret.derive(label).hex() for label in ("api-key", "refresh-token", "registration-token", "activity")]
    await all_refused(site, [mine, *(signed(HEADER, claims, key) for key in purposes)])


async def own_key_in_the_header(site: Site) -> None:
    claims = await claims_of_root(site)
    key = {"kty": "oct", "k": "AAAA"}
    forged = [
        signed({**HEADER, **more}, claims, "AAAA")
        for more in (
            {"jwk": key},
            {"jwk": key, "kid": "../../dev/null"},
            {"jku": "http://evil.example/keys.json", "jwk": key},
            {"x5u": "http://evil.example/cert.pem", "jwk": key},
            {"crit": ["exp"], "jwk": key},
            {"kid": "' UNION SELECT 'AAAA", "jwk": key},
        )
    ]
    # With the right key even: another header than ours means something that we have not promised to understand.
    more_headers = ({"kid": "1"}, {"crit": ["b64"], "b64": False}, {"zip": "DEF"}, {"enc": "A256GCM"})
    forged += [signed({**HEADER, **more}, claims, own_key(site)) for more in more_headers]
    await all_refused(site, forged)


def any_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_FORM", re.compile(r".+\..+\..*", re.DOTALL))


def no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    any_form(monkeypatch)
    monkeypatch.setattr(jwt, "decode", lambda token, *_, **__: jwt.get_unverified_claims(token))


def key_of_the_header(monkeypatch: pytest.MonkeyPatch) -> None:
    any_form(monkeypatch)
    decode = jwt.decode

    def trusting(token: str, key: str, **options: Any) -> Any:
        brought = jwt.get_unverified_header(token).get("jwk")
        return decode(token, brought["k"] if brought else key, **options)

    monkeypatch.setattr(jwt, "decode", trusting)


# -- well signed, but not what was promised -----------------------------------------------------------


async def claim_missing(site: Site) -> None:
    claims = await claims_of_root(site)
    await all_refused(
        site,
        [
            signed(HEADER, {key: value for key, value in claims.items() if key != left}, own_key(site))
            for left in claims
        ],
    )


async def claim_of_another_kind(site: Site) -> None:
    claims = await claims_of_root(site)
    changes: list[dict[str, Any]] = [
        {"iss": "other"}, {"aud": "other"}, {"aud": []}, {"aud": None}, {"exp": "soon"}, {"exp": []}, {"nbf": {}},
        {"iat": "yesterday"}, {"sub": 7}, {"sub": None}, {"sid": 7}, {"sid": ""}, {"sid": [claims["sid"]]}, {"jti": 7},
    ]  # fmt: skip
    await all_refused(site, [signed(HEADER, {**claims, **change}, own_key(site)) for change in changes])


async def out_of_time(site: Site) -> None:
    now = int(time.time())
    times = ({"exp": now - 60}, {"exp": 0}, {"exp": -1}, {"nbf": now + 600}, {"exp": now - 1, "nbf": now + 1})
    await all_refused(site, [signed(HEADER, await claims_of_root(site, **change), own_key(site)) for change in times])


async def other_persons_session(site: Site) -> None:
    """A token of ours for the administrator, in a session that is Ada's."""
    adas = (await site.user.get(ME)).json()["session_id"]
    await all_refused(site, [signed(HEADER, await claims_of_root(site, sid=adas), own_key(site))])


def decoded_without(*checks: str) -> Off:
    def switch_off(monkeypatch: pytest.MonkeyPatch) -> None:
        decode = jwt.decode

        def lenient(token: str, key: str, *, options: dict[str, bool], **more: Any) -> Any:
            # To jose, what is required is verified as well.
            off = {f"{word}_{check}": False for check in checks for word in ("verify", "require")}
            return decode(token, key, options={**options, **off}, **more)

        monkeypatch.setattr(jwt, "decode", lenient)

    return switch_off


def nothing_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_REQUIRED", ())


def whoever_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(self: Sessions, access_token: str) -> tuple[Principal, Any]:
        claims = self._access.read(access_token)
        async with self._database.read() as tx:
            session, _ = await self._live(tx, claims.session_id)
            return self._principal(session, await users.get(tx, claims.user_id)), claims.expires_at

    monkeypatch.setattr(Sessions, "check", check)


# -- one kind in the place of another, and used twice ---------------------------------------------------


async def refresh_token_as_access_token(site: Site) -> None:
    given = (await logged_in(site, "root"))["refresh_token"]
    registration = (await site.made("tokens", role="admin"))["token"]
    key = await site.made("keys", name=f"k{time.monotonic_ns()}", role="admin")
    await all_refused(site, [given, given.rpartition("_")[2], registration, key["id"], key["last4"]])


async def access_token_as_refresh_token(site: Site) -> None:
    given = await logged_in(site, "ada")
    for text in (given["access_token"], given["access_token"].rpartition(".")[2], site.gateway.key):
        answer = await site.nobody.post(REFRESH, json={"refresh_token": text})
        repelled(answer.status_code == 401, f"{text[:20]}… gave new tokens")
    answer = await site.nobody.post(REFRESH, json={"refresh_token": given["refresh_token"]})
    assert answer.status_code == 200, "the session went on"


async def replayed_refresh_token(site: Site) -> None:
    """A thief has the first one; its owner went on. Whoever is which: the session ends."""
    _, stolen = await a_user(site)
    current = stolen
    for _ in range(2):
        answer = await site.nobody.post(REFRESH, json={"refresh_token": current["refresh_token"]})
        current = answer.json()
    answer = await site.nobody.post(REFRESH, json={"refresh_token": stolen["refresh_token"]})
    repelled(answer.status_code == 401, "an old refresh token gave new tokens")
    for token in (stolen["access_token"], current["access_token"]):
        repelled(await status_as(site, bearer(token), ME) == 401, "the session goes on, with the thief in it")
    answer = await site.nobody.post(REFRESH, json={"refresh_token": current["refresh_token"]})
    repelled(answer.status_code == 401, "the session can be renewed, by the thief as well")


async def replayed_after_the_grace(site: Site) -> None:
    _, stolen = await a_user(site)
    await site.nobody.post(REFRESH, json={"refresh_token": stolen["refresh_token"]})
    with later(site, 11):
        answer = await site.nobody.post(REFRESH, json={"refresh_token": stolen["refresh_token"]})
    repelled(answer.status_code == 401, "a refresh token that was traded 11 s ago gave new tokens")


async def ended_session(site: Site) -> None:
    _, given = await a_user(site)
    assert (await site.nobody.post("/gate/auth/logout", headers=bearer(given["access_token"]))).status_code == 204
    repelled(await status_as(site, bearer(given["access_token"]), ME) == 401, "after the logout it goes on")
    answer = await site.nobody.post(REFRESH, json={"refresh_token": given["refresh_token"]})
    repelled(answer.status_code == 401, "after the logout it is renewed")


@contextmanager
def later(site: Site, seconds: float) -> Iterator[None]:
    """The clock of the sessions is so far ahead."""
    sessions = site.gateway.services.sessions
    clock = sessions._clock
    sessions._clock = lambda: clock() + timedelta(seconds=seconds)
    try:
        yield
    finally:
        sessions._clock = clock


def any_token_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Sessions.check

    async def lenient(self: Sessions, access_token: str) -> tuple[Principal, Any]:
        if access_token.startswith("llmf_"):
            return await self.of(self._parse(access_token)[0])
        return await check(self, access_token)

    monkeypatch.setattr(Sessions, "check", lenient)


def refreshed_by_any_token(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lenient(self: Sessions, refresh_token: str, **_: Any) -> Tokens:
        claims = self._access.read(refresh_token)
        async with self._database.read() as tx:
            session, user = await self._live(tx, claims.session_id)
        return self._tokens(user, session.id, self._refresh_token(session.id, 1))

    monkeypatch.setattr(Sessions, "refresh", lenient)


def reuse_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(Sessions, "_end_reused", nothing)


def endless_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sessions, "_just_rotated", lambda *_: True)


def sessions_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "is_live", lambda *_: True)


_EXACT = "the header is compared byte for byte, the algorithm is ours"
ATTACKS: list[Attack[Site]] = [
    Attack("no signature, or another algorithm", unsigned, no_signature, _EXACT),
    Attack("public text as the key", confused_key, no_signature, "HMAC-SHA256 under a key of the server"),
    Attack("a token of another server or purpose", another_server, no_signature, "a key for this purpose alone"),
    Attack("a key that the token brings", own_key_in_the_header, key_of_the_header, _EXACT),
    Attack("a claim is missing", claim_missing, nothing_required, "every claim is required"),
    Attack(
        "a claim of another kind", claim_of_another_kind, decoded_without("iss", "aud", "jti"), "claims are verified"
    ),
    Attack("expired, or not yet valid", out_of_time, decoded_without("exp", "nbf"), "times are verified"),
    Attack("another's session", other_persons_session, whoever_is_named, "the session must be the user's"),
    Attack("other secrets as access token", refresh_token_as_access_token, any_token_of_a_session, "one form each"),
    Attack("access token as refresh token", access_token_as_refresh_token, refreshed_by_any_token, "one form each"),
    Attack("a stolen refresh token", replayed_refresh_token, reuse_unnoticed, "reuse ends the session"),
    Attack("a replay after the grace", replayed_after_the_grace, endless_grace, "the grace is 10 s"),
    Attack("a session that was ended", ended_session, sessions_without_end, "sessions live in the database"),
]
