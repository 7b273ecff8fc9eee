"""What the model of the chat's measurements writes: as much of everything as real answers have."""

from __future__ import annotations

import random
from collections.abc import Iterator

TOKEN = 4
"""Characters, as in English."""

_TEXT = """
the model answers with a list of steps and each of them says what has to be done before the next one can begin
while the cache is warm most of the work is reading and the rest is waiting for a lock that somebody else holds
so a smaller batch is often faster than a larger one unless the disk is slow or the network drops packets
"""
_WORDS = _TEXT.split()

_CODE = (
    """```python
def moving_average(values: list[float], size: int) -> list[float]:
    \"\"\"The mean of each window of `size` values.\"\"\"
    if size <= 0:
        raise ValueError("size must be positive")
    window, result = 0.0, []
    for index, value in enumerate(values):
        window += value
        if index >= size:
            window -= values[index - size]
        result.append(window / min(index + 1, size))
    return result
```""",
    """```ts
export async function fetchAll<T>(urls: readonly string[], limit = 4): Promise<T[]> {
  const results: T[] = [];
  const todo = [...urls.entries()];
  const worker = async () => {
    for (let next = todo.pop(); next; next = todo.pop()) {
      const [index, url] = next;
      results[index] = (await (await fetch(url)).json()) as T;
    }
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}
```""",
    """```sql
SELECT customer.name, count(*) AS orders, sum(line.price * line.amount) AS total
FROM customer JOIN orders ON orders.customer_id = customer.id JOIN line ON line.order_id = orders.id
WHERE orders.placed_at >= date '2026-01-01'
GROUP BY customer.name HAVING count(*) > 3 ORDER BY total DESC LIMIT 20;
```""",
)
_MATH = (
    "The variance is $\\sigma^2 = \\frac{1}{n} \\sum_{i=1}^{n} (x_i - \\mu)^2$, and so its root is $\\sigma$.",
    "$$\n\\int_{-\\infty}^{\\infty} e^{-x^2} \\, dx = \\sqrt{\\pi}\n$$",
    "\\[\nA = \\begin{pmatrix} a & b \\\\ c & d \\end{pmatrix}, \\quad \\det A = ad - bc\n\\]",
)


def _sentence(chance: random.Random, length: int) -> str:
    words = [chance.choice(_WORDS) for _ in range(length)]
    if length > 8:
        at = chance.randrange(2, length - 2)
        words[at] = chance.choice(("**{}**", "*{}*", "`{}`", "[{}](https://example.org/a)")).format(words[at])
    return " ".join(words).capitalize() + "."


def _paragraph(chance: random.Random) -> str:
    return " ".join(_sentence(chance, chance.randrange(8, 18)) for _ in range(chance.randrange(2, 5)))


def _list(chance: random.Random) -> str:
    mark = chance.choice(("- ", "1. "))
    lines = [f"{mark}{_sentence(chance, chance.randrange(6, 14))}" for _ in range(chance.randrange(3, 7))]
    indent = " " * len(mark)
    return "\n".join([*lines[:2], f"{indent}- {_sentence(chance, 6)}", f"{indent}- {_sentence(chance, 6)}", *lines[2:]])


def _table(chance: random.Random) -> str:
    rows = [f"| {_sentence(chance, 3)} | {chance.random():.3f} | `{chance.choice(_WORDS)}` |" for _ in range(8)]
    return "\n".join(["| what | value | name |", "|---|--:|---|", *rows])


def _blocks(chance: random.Random) -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"## {number}. {_sentence(chance, 4)}"
        yield _paragraph(chance)
        yield _list(chance)
        yield _CODE[number % len(_CODE)]
        yield _paragraph(chance)
        yield _table(chance) if number % 2 else _MATH[number // 2 % len(_MATH)]
        yield f"> {_sentence(chance, 12)}"


def markdown(length: int, seed: int = 1) -> str:
    """An answer of about ``length`` characters, the same one for the same seed; it ends with a paragraph."""
    chance = random.Random(seed)
    text = ""
    for block in _blocks(chance):
        text += f"{block}\n\n"
        if len(text) >= length:
            break
    return f"{text}The end."


def tokens(text: str) -> list[str]:
    """In pieces, as a model gives it."""
    return [text[at : at + TOKEN] for at in range(0, len(text), TOKEN)]
