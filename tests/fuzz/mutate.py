"""Inputs made of inputs: what is fuzzed with where atheris is not installed."""

from __future__ import annotations

import random
from collections.abc import Sequence

MOST = 20_000
"""Bytes of an input."""


def mutated(source: random.Random, inputs: Sequence[bytes], words: Sequence[bytes]) -> bytes:
    """An input that is like one of those before it.

    Args:
        source: of chance; the same gives the same.
        inputs: what there is.
        words: pieces of the language.
    """
    data = bytearray(source.choice(inputs) if inputs and source.random() < 0.8 else b"")
    for _ in range(source.randint(1, 8)):
        at = source.randint(0, len(data))
        end = min(len(data), at + source.choice((1, 1, 2, 8, 100)))
        match source.randrange(8):
            case 0 | 1 | 2:
                data[at:at] = source.choice(words)
            case 3:
                data[at:end] = b""
            case 4:
                data[at:end] = source.choice(words)
            case 5:
                data[at:at] = data[at:end] * source.choice((1, 2, 50))
            case 6:
                data[at:end] = source.randbytes(end - at)
            case _:
                data[at:at] = source.choice(inputs)[: source.randint(0, 50)] if inputs else b""
    return bytes(data[:MOST])
