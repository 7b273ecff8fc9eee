"""The server secret and its file."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from llmgate.daemon.auth.secrets import ServerSecret, load_or_create
from llmgate.errors import StateUnreadable


def _write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_a_secret_is_made_once_and_read_again(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = tmp_path / "state" / "secret.key"
        made = load_or_create(path)
    finally:
        os.umask(before)
    assert load_or_create(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["secret.key"]
    assert load_or_create(tmp_path / "other.key") != made


def test_daemons_that_start_at_once_share_one_secret(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"secret{number}.key"
        with ThreadPoolExecutor(8) as pool:
            secrets = list(pool.map(load_or_create, [path] * 8))
        assert len({secret.fingerprint for secret in secrets}) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o666, 0o601])
def test_a_file_that_others_may_touch_is_refused_with_the_command_that_helps(tmp_path: Path, mode: int) -> None:
    path = _write(tmp_path / "secret.key", "0123456789abcdef" * 4, mode)
    with pytest.raises(StateUnreadable) as caught:
        load_or_create(path)
    assert caught.value.hint == f"Run: chmod 600 '{path}'"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "00" * 32,
        "ab" * 32,
        "0123456789abcdef" * 3,
        "9f1c27e4ab530d88c6e17b3a5d0f42" * 2 + "91",
        "not hexadecimal" * 9,
        "ключ" * 20,
    ],
)
def test_an_empty_short_or_sample_secret_is_refused(tmp_path: Path, text: str) -> None:
    path = _write(tmp_path / "secret.key", text)
    with pytest.raises(StateUnreadable, match=r"secret\.key") as caught:
        load_or_create(path)
    assert text.strip() == "" or text.strip() not in caught.value.text()
    assert path.read_text(encoding="utf-8") == text


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateUnreadable, match="directory"):
        load_or_create(tmp_path)
    with pytest.raises(StateUnreadable, match="Cannot use the secret key"):
        load_or_create(_write(tmp_path / "file", "") / "secret.key")


def test_a_missing_secret_that_is_needed_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    with pytest.raises(StateUnreadable, match="missing") as caught:
        load_or_create(path, may_create=False)
    assert f"Put the old secret.key back as {path}" in (caught.value.hint or "")
    assert not path.exists()


def test_derived_keys_differ_by_purpose_and_are_not_shown() -> None:
    secret = ServerSecret(bytes(range(32)))
    assert len({secret.derive("a"), secret.derive("b"), secret.derive("fingerprint")}) == 3
    assert len(secret.derive("a")) == 32
    assert repr(secret) == "ServerSecret()"
    assert len(secret.fingerprint) == 32
