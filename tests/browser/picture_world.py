"""What the pictures of the chat page show: conversations, usage, keys and sessions of somebody who has worked with it
for a while. It is made up; the page and the gateway that show it are the real ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from llmgate.daemon.auth import api_keys
from llmgate.daemon.auth.principals import Role
from llmgate.daemon.events import RequestFinished
from llmgate.daemon.queue.ticket import Outcome
from llmgate.daemon.store import conversations, keys, messages, usage, users
from llmgate.daemon.store.chats import conversations as table
from llmgate.daemon.store.types import utc_now
from tests.browser.stage import THINKER, VISION, Stage, new_user
from tests.gateway.ready_made import client_of

NAME: Final = "ada"
QUESTION: Final = "How does the error of Monte Carlo estimates shrink with more samples? Show it with π, please."
THINKING: Final = (
    "The user wants the convergence of Monte Carlo integration, with π as the example. The estimate is 4 times the "
    "share of points inside the quarter circle. The standard error falls with one over the square root of n.\n\n"
    "A short derivation, a table with powers of ten, and Python that they can run. NumPy keeps it short."
)
_WHY: Final = (
    r"Throw $n$ random points into the unit square and count those in the quarter circle. Each falls into it with the "
    r"probability $p = \pi/4$, so four times the share of hits estimates $\pi$. Its standard error:"
)
ANSWER: Final = (
    r"""Slowly: for **twice the accuracy you need four times the samples**.

## Why

"""
    + _WHY
    + r"""

$$
\sigma_n = 4\sqrt{\frac{p\,(1-p)}{n}} \approx \frac{1.64}{\sqrt{n}}
$$

## Try it

```python
import numpy as np

rng = np.random.default_rng(seed=7)

def estimate(n: int) -> float:
    x, y = rng.random((2, n))
    return 4 * np.mean(x**2 + y**2 <= 1)  # share of hits

for n in (10**2, 10**4, 10**6):
    print(f"{n:>9,}  {estimate(n):.4f}")
```

| Samples | Estimate | Typical error |
|--------:|---------:|--------------:|
| 100 | 3.2000 | ±0.164 |
| 10,000 | 3.1476 | ±0.016 |
| 1,000,000 | 3.1419 | ±0.002 |

Three things follow from that:

- every further decimal place costs a **hundred times** the work;
- the error does not depend on the number of dimensions, which is why the method is used for hard integrals;
- *quasi-random* points (a Sobol sequence, say) come close to $1/n$ in few dimensions.
"""
)
OTHERS: Final = (
    ("Reading a flame graph", 0, 3),
    ("Letter to the landlord, friendlier", 0, 7),
    ("Why is my SQL query slow?", 1, 2),
    ("Recipe for twelve people", 1, 5),
    ("Explain the borrow checker", 3, 1),
    ("Slides for the reading group", 4, 6),
    ("Names for a small boat", 6, 2),
    ("Regex for ISO dates", 12, 3),
    ("Differences between TLS 1.2 and 1.3", 19, 4),
    ("Plan for the vegetable garden", 26, 2),
)
"""Title, and how many days and hours ago something was said last."""
CLIENTS: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
)


def _model(architecture: str, parameters: str, window: int, *abilities: str, packed: str = "Q4_K_M") -> dict[str, Any]:
    return {
        "capabilities": ["completion", *abilities],
        "details": {"family": architecture, "parameter_size": parameters, "quantization_level": packed},
        "model_info": {"general.architecture": architecture, f"{architecture}.context_length": window},
    }


MODELS: Final[Mapping[str, dict[str, Any]]] = {
    THINKER: _model("qwen3", "8.2B", 40960, "tools", "thinking"),
    "llama3.2:latest": _model("llama", "3.2B", 131072, "tools"),
    VISION: _model("llama", "7.2B", 32768, "vision", packed="Q4_0"),
    "gemma3:12b": _model("gemma3", "12.2B", 131072, "vision"),
    "mistral-small:24b": _model("llama", "23.6B", 32768, "tools"),
}


async def furnish(stage: Stage) -> None:
    """Put all of it into the gateway."""
    stage.ollama.described.update(MODELS)
    stage.ollama.models[:], stage.ollama.loaded[:] = MODELS, list(MODELS)[:2]
    await stage.gateway.services.upstreams.refresh(["fake"])
    await new_user(stage.gateway, NAME, level=2)
    async with stage.gateway.services.database.read() as tx:
        [owner] = [user for user in await users.page(tx) if user.name == NAME]
    for title, days, hours in reversed(OTHERS):
        await _conversation(stage, owner.id, title, timedelta(days=days, hours=hours))
    await _conversation(stage, owner.id, "Error of Monte Carlo estimates", timedelta(), (QUESTION, THINKING, ANSWER))
    used = [await _key(stage, owner.id, name, level) for name, level in (("laptop", 2), ("notebooks", 4))]
    await _usage(stage, owner.id, used)
    for client in CLIENTS:
        async with client_of(stage.gateway.url) as visitor:
            body = {"name": NAME, "password": "correct horse battery"}
            await visitor.post("/gate/auth/login", json=body, headers={"user-agent": client})


async def _conversation(
    stage: Stage,
    owner: str,
    title: str,
    ago: timedelta,
    said: tuple[str, str | None, str] = ("And now?", None, "Now it works."),
) -> None:
    question, thinking, answer = said
    async with stage.gateway.services.database.begin() as tx:
        made = await conversations.create(tx, user_id=owner, title=title, model=THINKER)
        asked = await messages.add(tx, conversation_id=made.id, parent=None, role="user", content=question)
        await messages.add(
            tx,
            conversation_id=made.id,
            parent=asked.id,
            role="assistant",
            content=answer,
            thinking=thinking,
            model=THINKER,
            outcome="completed",
            input_tokens=38,
            output_tokens=486,
            duration=12.4,
        )
        moment = utc_now() - ago
        await tx.execute(table.update().where(table.c.id == made.id).values(updated_at=moment, created_at=moment))


async def _key(stage: Stage, owner: str, name: str, level: int) -> str:
    new = api_keys.generate(stage.gateway.services.secret)
    async with stage.gateway.services.database.begin() as tx:
        await keys.create(
            tx,
            key_id=new.id,
            digest=new.digest,
            last4=new.last4,
            name=f"{name}-{new.id[-6:].lower()}",
            role=Role.USER,
            user_id=owner,
            level=level,
            expires_at=utc_now() + timedelta(days=83),
        )
    return new.id


async def _usage(stage: Stage, owner: str, used: list[str]) -> None:
    """A month, with quiet weekends."""
    callers = [("session", owner, NAME), ("key", used[0], "laptop"), ("key", used[1], "notebooks")]
    events = []
    for day in range(30):
        moment = utc_now() - timedelta(days=day)
        for number in range(1 if moment.weekday() >= 5 else 3 + day * 7 % 5):
            kind, principal, name = callers[number % 3]
            model = (THINKER, "llama3.2:latest", "llama3.2:latest", "llava:7b")[(number + day) % 4]
            tokens = 900 + (day * 37 + number * 211) % 1400
            events.append(
                RequestFinished(
                    request_id=f"made-up-{day}-{number}",
                    finished_at=moment,
                    principal_kind=kind,
                    principal_id=principal,
                    principal_name=name,
                    user_id=owner,
                    protocol="chat",
                    route="/api/chat",
                    model=model,
                    pool="default",
                    upstream="fake",
                    submitted_level=2,
                    stream=True,
                    outcome=Outcome.COMPLETED,
                    status=200,
                    error_code=None,
                    wait=0.4,
                    first_byte=0.9,
                    duration=12.0,
                    input_tokens=tokens * 2,
                    output_tokens=tokens,
                )
            )
    async with stage.gateway.services.database.begin() as tx:
        await usage.add(tx, events)
