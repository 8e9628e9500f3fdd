"""The bench's own arithmetic: it must not flatter."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.bench import content
from tests.bench.figures import Goal, Result, judge, ratio
from tests.bench.process import Command, Sample, peak_memory, timed


def result(name: str, *walls: float) -> Result:
    return Result(name, [Sample(wall, wall / 2) for wall in walls], memory=100)


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_pairs() -> None:
    found = ratio([1.0, 2.0, 9.0], [4.0, 2.0, 4.0])

    assert (found.value, found.low, found.high) == (0.5, 0.25, 2.25)


def test_a_peer_that_ran_fewer_times_has_fewer_pairs() -> None:
    found = ratio([1.0, 1.0, 7.0], [2.0, 2.0])

    assert (found.value, found.high) == (0.5, 0.5)


def test_nothing_measured_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="nothing"):
        ratio([], [1.0])


def test_goals_are_judged_against_the_peer_they_name() -> None:
    ours, git, other = result("ours", 0.8), result("git", 1.0), result("git", 10.0)
    goals = [
        Goal("wall", 0.8, "git"),
        Goal("cpu", 0.7, "git"),
        Goal("memory", 99),
        Goal("wall", 0.1, "git", case="whole"),
        Goal("wall", 0.1, "absent"),
    ]

    verdicts = judge(goals, ours, {"git": git}, {"whole": {"git": other}})

    assert [verdict.passed for verdict in verdicts] == [True, False, False, True]


def test_processor_time_and_memory_of_children_count(tmp_path: Path) -> None:
    inner = "x = bytearray(60_000_000); sum(range(3_000_000))"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}], check=True)"
    command = Command([sys.executable, "-c", outer], {}, tmp_path)

    assert timed(command).cpu > 0.03
    assert peak_memory(command) > 60_000_000


def test_generated_content_is_the_same_each_time() -> None:
    one, other = content.Writer("seed"), content.Writer("seed")

    assert [one.file() for _ in range(20)] == [other.file() for _ in range(20)]
    assert len(set(content.paths(2001, 40))) == 2001
