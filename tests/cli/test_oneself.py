"""One's own account: the password, and what one should not do to oneself by accident."""

from __future__ import annotations

from tests.admin.harness import PASSWORD, Site
from tests.cli.conftest import login
from tests.cli.harness import llmgate

NEW = "another good one"


async def test_ones_own_password_changes_and_the_login_here_goes_on(site: Site) -> None:
    await login(site, "ada")
    wrong = await llmgate("passwd", "--password-stdin", stdin=f"wrong password\n{NEW}\n")
    assert wrong.code == 4
    (await llmgate("passwd", "--password-stdin", stdin=f"{PASSWORD}\n{NEW}\n")).ok()
    (await llmgate("auth", "status")).ok()
    assert (await site.login("ada", NEW)).status_code == 200


async def test_without_a_login_there_is_no_password_to_change(site: Site) -> None:
    nobody = await llmgate("passwd", "--url", site.url)
    assert nobody.code == 4
    assert "llmgate login" in nobody.err


async def test_taking_ones_own_rights_away_needs_force(root: Site) -> None:
    await root.made("users", name="second", password=PASSWORD, role="admin")
    for change in (("update", "ROOT", "--role", "user"), ("update", "root", "--disable"), ("delete", "root")):
        refused = await llmgate("users", *change, "--yes")
        assert refused.code == 6
        assert "This is you" in refused.err
        assert "--force" in refused.err
    (await llmgate("users", "update", "ada", "--disable")).ok()
    (await llmgate("users", "update", "root", "--role", "user", "--force")).ok()
