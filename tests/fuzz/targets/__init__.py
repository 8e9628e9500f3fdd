"""What is fuzzed: a target takes bytes, and raises `Violation` or anything else that is a bug."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from random import Random

from tests.fuzz.mutation import Change


@dataclass(frozen=True)
class Target:
    """One way into the fetcher.

    Attributes:
        run: Feeds it; returns whether the input was accepted.
        mutate: Changes an input in a way that keeps its frame valid, mostly.
        seeds: Inputs to begin with, by name.
        largest: How many bytes an input has at most.
        weight: Its share of a run over all targets.
    """

    run: Callable[[bytes], bool]
    mutate: Callable[[bytes, Random, Change], bytes]
    seeds: Callable[[], Iterator[tuple[str, bytes]]]
    largest: int = 1 << 14
    weight: int = 1


_WHERE = {
    "pack": "pack",
    "delta": "delta",
    "protocol": "protocol",
    "ssh": "ssh",
    "attributes": "attributes",
    "plan": "plan",
    "names": "names",
    "obstore": "listing",
    "fsspec": "listing",
    "tar": "archive",
    "tar.gz": "archive",
    "tar.zst": "archive",
    "zip": "archive",
}
NAMES = tuple(_WHERE)


def load(name: str) -> Target:
    """The target of this name."""
    module = import_module(f"tests.fuzz.targets.{_WHERE[name]}")
    target: Target = module.target(name)
    return target
