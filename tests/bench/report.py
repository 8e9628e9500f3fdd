"""Tables of what was measured: for a terminal, for the documentation, and as JSON."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import clients, tables
from tests.bench.build import FETCHER
from tests.bench.fetch import Measured
from tests.bench.figures import Ratio, Result, Verdict, ratio
from tests.bench.places import sources

_HEAD = (
    "client", "wall s", "lowest-highest", "CPU s", "peak MiB", "received MB", "requests",
    "connections", "our wall", "our CPU",
)  # fmt: skip
_GOALS = ("case", "goal", "measured", "pairs", "")


def header(room: Path | None, fetcher: Path) -> dict[str, str]:
    """Where and when this was measured."""
    where = {"trees on": _output("stat", "-f", "-c", "%T", str(room))} if room else {}
    return {
        **tables.machine(),
        **where,
        "git": _output("git", "--version").removeprefix("git version "),
        "fetcher": _revision(fetcher),
    }


def table(measured: list[Measured], *, markdown: bool) -> str:
    """Everything, for people."""
    mark = "#### " if markdown else "== "
    parts = []
    for each in measured:
        trip = each.case.round_trip
        link = f", round trip {trip * 1000:.0f} ms" if trip else ""
        title = f"{mark}{each.case.name}: {each.case.title}{link}"
        parts.append(title + "\n\n" + tables.draw([_HEAD, *_rows(each)], markdown=markdown))
    goals = [_goal(each, verdict) for each in measured for verdict in each.verdicts]
    if goals:
        parts.append(f"{mark}Goals\n\n" + tables.draw([_GOALS, *goals], markdown=markdown))
    return "\n\n".join(parts) + "\n"


def document(measured: list[Measured], room: Path, fetcher: Path) -> dict[str, Any]:
    """Everything, for programs; each round's figures are kept."""
    return {
        "header": header(room, fetcher),
        "cases": [
            {
                "name": each.case.name,
                "title": each.case.title,
                "roundTrip": each.case.round_trip,
                "files": each.case.files,
                "size": each.case.size,
                "results": [dataclasses.asdict(result) for result in each.results.values()],
                "goals": [
                    {**dataclasses.asdict(verdict), "passed": verdict.passed}
                    for verdict in each.verdicts
                ],
            }
            for each in measured
        ],
    }


def _rows(each: Measured) -> list[tuple[str, ...]]:
    ours = each.results[clients.OURS]
    return [_row(result, ours) for result in each.results.values()]


def _row(result: Result, ours: Result) -> tuple[str, ...]:
    traffic = result.traffic
    silent = traffic is None or not traffic.connections
    return (
        result.client,
        _seconds(median(result.wall)),
        f"{_seconds(min(result.wall))}-{_seconds(max(result.wall))}",
        _seconds(median(result.cpu)),
        f"{result.memory / (1 << 20):.0f}",
        "" if silent else f"{traffic.received / 1e6:.2f}",
        "" if silent else f"{traffic.requests:,}",
        "" if silent else f"{traffic.connections:,}",
        "" if result is ours else _ratio(ratio(ours.wall, result.wall)),
        "" if result is ours else _ratio(ratio(ours.cpu, result.cpu)),
    )


def _goal(each: Measured, verdict: Verdict) -> tuple[str, ...]:
    goal, measured = verdict.goal, verdict.measured
    mark = "pass" if verdict.passed else tables.MISS
    if goal.peer is None:
        unit = 1 << 20
        return (
            each.case.name,
            f"{goal.metric} ≤ {goal.limit / unit:.0f} MiB",
            f"{measured.value / unit:.0f} MiB",
            "",
            mark,
        )
    what = "CPU" if goal.metric == "cpu" else goal.metric
    whose = f"{goal.peer} ({goal.case})" if goal.case else goal.peer
    return (
        each.case.name,
        f"{what} ≤ {goal.limit} x {whose}",
        f"{measured.value:.2f}",
        f"{measured.low:.2f}-{measured.high:.2f}",
        mark,
    )


def _ratio(value: Ratio) -> str:
    return f"{value.value:.2f} ({value.low:.2f}-{value.high:.2f})"


def _seconds(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.2f}"


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _revision(fetcher: Path) -> str:
    """The last commit that touched the fetcher, or what its sources hash to."""
    git = ["git", "-C", str(fetcher)]
    if fetcher == FETCHER and not _output(*git, "status", "--porcelain", "--", "."):
        return _output(*git, "log", "-1", "--format=%h", "--abbrev=12", "--", ".")
    digest = hashlib.sha256(b"".join(sources(fetcher / "src", "*.py"))).hexdigest()
    return f"not committed, sources {digest[:12]}"
