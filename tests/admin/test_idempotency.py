"""What is remembered of a request with an Idempotency-Key gives nothing away of what was in it."""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import select

from llmgate.daemon.store.idempotency import idempotency_keys
from tests.admin.harness import Site


async def test_a_password_cannot_be_guessed_from_what_is_remembered(site: Site) -> None:
    body = json.dumps({"name": "bob", "password": "tr0ub4dor&3-weak"}).encode()
    headers = {"idempotency-key": "once", "content-type": "application/json"}
    made = await site.admin.post("/admin/v1/users", content=body, headers=headers)
    assert made.status_code == 201, made.text
    async with site.gateway.services.database.read() as tx:
        remembered = (await tx.execute(select(idempotency_keys.c.request_hash))).scalars().all()
    guesses = [f"POST {path}\n".encode() + body for path in ("/users", "/admin/v1/users")]
    assert len(remembered) == 1
    assert not {hashlib.sha256(guess).hexdigest() for guess in guesses}.intersection(remembered)
    again = await site.admin.post("/admin/v1/users", content=body, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
