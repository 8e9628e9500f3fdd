"""Fuzzing without libFuzzer: no feedback, but deterministic, and it runs everywhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from random import Random

from tests.fuzz.mutation import plain
from tests.fuzz.targets import NAMES, Target, load

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"


def corpus(name: str, extra: Path | None = None) -> list[tuple[str, bytes]]:
    """The committed inputs of a target, in a fixed order, then those of another folder."""
    folders = [CORPUS / name, *([extra] if extra else [])]
    files = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    return [(path.name, path.read_bytes()) for path in files if path.is_file()]


def explore(
    target: Target, start: Iterable[bytes], *, seed: int, count: int, seconds: float = 60.0
) -> tuple[int, bytes | None, Exception | None]:
    """Run changed inputs until one is a finding; how many ran, and the finding."""
    rng = Random(seed)
    change = plain(rng)
    pool = list(start)
    end = time.monotonic() + seconds
    for number in range(count):
        data = rng.choice(pool)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = target.mutate(data, rng, change)[: target.largest]
        try:
            target.run(data)
        except Exception as error:
            return number + 1, data, error
        if time.monotonic() > end:
            return number + 1, None, None
    return count, None, None


__all__ = ["CORPUS", "NAMES", "corpus", "explore", "load"]
