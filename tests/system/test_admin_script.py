"""A script as users write them does the whole work of an administrator, with llmgate, curl and jq."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.fakes import FakeOllama, Script
from tests.system.processes import environment, first_line, serving
from tests.system.test_serve import PASSWORD, initialise, url_in

SCRIPT = Path(__file__).parent / "admin_script.sh"
STORY = Script(tokens=["word "] * 1200, interval=0.05)


@pytest.mark.slow
@pytest.mark.alone
async def test_the_script_of_an_administrator(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(PASSWORD)
    async with FakeOllama() as fake:
        fake.script(STORY, path="/api/chat", times=None)
        config = await initialise(tmp_path, fake.url)
        async with serving("--config", str(config), home=tmp_path) as daemon:
            url = url_in(await first_line(daemon))
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
            environ = environment(tmp_path, LLMGATE_URL=url, ADMIN_PASSWORD_FILE=str(password), PATH=path)
            script = await asyncio.create_subprocess_exec(
                "sh", str(SCRIPT), stdin=asyncio.subprocess.DEVNULL, stdout=PIPE, stderr=PIPE, env=environ, cwd=tmp_path
            )
            async with asyncio.timeout(90):
                out, err = (text.decode() for text in await script.communicate())
            assert script.returncode == 0, out + err
    for name in ("urgent", "laptop", "batch"):
        assert f"{name}: 10 requests, 40 tokens out" in out
    ended = re.search(r"stream ended after (\d+) ms\nit ended with: (.+)", out)
    assert ended
    assert int(ended[1]) < 1000
    assert not re.search(r"llmg_\w{9}", out + err)
