"""Runs the cases: each client once in each round, in turn, so that what the machine does meanwhile
meets all of them alike.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench import clients
from tests.bench.cases import Case, Cases
from tests.bench.clients import Client, Job
from tests.bench.figures import Result, Verdict, judge
from tests.bench.link import Link
from tests.bench.places import BenchError
from tests.bench.process import peak_memory, timed

_SLOW = 10.0
"""A peer that takes longer, and that no goal names, is run only so often:"""
_SLOW_ROUNDS = 3


@dataclass
class Measured:
    """One case, what was measured, and how that compares with the goals."""

    case: Case
    results: dict[str, Result]
    verdicts: list[Verdict]


def measure(cases: Iterable[Case], *, repeats: int, peers: list[str], room: Path) -> list[Measured]:
    """Measure all cases.

    Args:
        cases: What to fetch.
        repeats: How many rounds.
        peers: The names of the peers to run; all where empty.
        room: Where the trees go.

    Raises:
        BenchError: A client failed, or did not fetch what it should have.
    """
    measured: list[Measured] = []
    for case in cases:
        chosen = [c for c in case.clients if not peers or c.name in peers or c in case.ours]
        results = _measure(case, chosen, repeats, room / f"flow-bench-{os.getpid()}")
        others = {each.case.name: each.results for each in measured}
        verdicts = judge(case.goals, results[clients.OURS], results, others)
        measured.append(Measured(case, results, verdicts))
    return measured


def _measure(case: Case, chosen: list[Client], repeats: int, room: Path) -> dict[str, Result]:
    started = time.monotonic()
    _say(f"{case.name}: {case.title} …")
    results = {client.name: Result(client.name) for client in chosen}
    goals = {goal.peer for goal in case.goals}
    try:
        with ExitStack() as stack:
            link = stack.enter_context(Link(case.port, case.round_trip))
            for client in chosen:
                _probe(case, client, results[client.name], link, room)
            port = link.port if case.round_trip else case.port
            for number in range(repeats):
                # Each round begins with another client.
                turn = number % len(chosen)
                for client in chosen[turn:] + chosen[:turn]:
                    result = results[client.name]
                    slow = result.samples and result.samples[0].wall > _SLOW
                    if slow and len(result.samples) >= _SLOW_ROUNDS and client.name not in goals:
                        continue
                    job = Job(clients.clear(room), port)
                    result.samples.append(timed(client.command(job)))
    finally:
        clients.clear(room).rmdir()
    _say(f"{case.name}: {time.monotonic() - started:.0f} s")
    return results


def _probe(case: Case, client: Client, result: Result, link: Link, room: Path) -> None:
    """One run that is not timed: sees memory, traffic and what was fetched."""
    job = Job(clients.clear(room), link.port)
    link.passed()
    result.memory = peak_memory(client.command(job))
    result.traffic = link.passed()
    if client.tree is None:
        return
    files, size = _content(room / client.tree)
    if (files, size) != (case.files, case.size):
        raise BenchError(
            f"{client.name} fetched {files} files with {size} bytes, "
            f"not {case.files} with {case.size}: {case.name}"
        )


def _content(tree: Path) -> tuple[int, int]:
    files = size = 0
    for directory, names, entries in os.walk(tree):
        if ".git" in names:
            names.remove(".git")
        for entry in entries:
            files += 1
            size += os.lstat(os.path.join(directory, entry)).st_size
    return files, size


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)


__all__ = ["Cases", "Measured", "measure"]
