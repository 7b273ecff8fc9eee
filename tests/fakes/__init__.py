"""Fault-injecting fake upstreams: real servers on loopback, and the oracle of the tests.

    async with FakeOllama(models=("llama3.2:latest",)) as fake:
        fake.script(Script(status=500))                           # the next inference request
        fake.script(Script(token_gates={2: "go"}), times=None)    # all after it wait before the third token
        ...                                                       # talk to fake.url
        seen = await fake.request(1)                              # the second inference request
        await fake.wait_for(lambda: seen.tokens_sent == 2)
        fake.release("go")
        await seen.ended.wait()
        assert fake.max_concurrency == 1

``requests`` holds the inference requests (``Seen``: path, headers, body, json, nonce, times, ``disconnected``),
``reads`` all others (listings, probes). ``stop()`` cuts everything like a crash, ``start()`` comes back on the port.
"""

from tests.fakes.ollama import FakeOllama
from tests.fakes.openai import FakeOpenAI
from tests.fakes.script import Script, Seen
from tests.fakes.server import FakeServer

__all__ = ["FakeOllama", "FakeOpenAI", "FakeServer", "Script", "Seen"]
