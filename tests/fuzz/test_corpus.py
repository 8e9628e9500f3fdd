"""The committed inputs, and that the oracles see what they are for; the fuzzer runs apart."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.environment import environment
from tests.fuzz.plain import NAMES, corpus, explore, load
from tests.fuzz.planted import BUGS, plant

_QUICK = ("dot-git", "checksum", "delta-bound", "links", "credentials", "sparse", "quotes")
_HUNT = """
import sys
from tests.fuzz.plain import corpus, explore, load
name = sys.argv[1]
target = load(name)
_, data, error = explore(target, [d for _, d in corpus(name)], seed=7, count=4000, seconds=30)
print(type(error).__name__, error)
"""


@pytest.mark.parametrize("name", NAMES)
def test_corpus(name: str) -> None:
    """Every committed input is accepted or refused in order, and some are accepted."""
    inputs = corpus(name)
    target = load(name)
    assert len(inputs) >= 5
    accepted = [target.run(data) for _, data in inputs]
    assert any(accepted)


@pytest.mark.parametrize("name", NAMES)
def test_changes(name: str) -> None:
    """So is every change of some that a fixed seed makes."""
    target = load(name)
    _, data, error = explore(target, [d for _, d in corpus(name)], seed=1, count=60)
    assert error is None, data


@pytest.mark.parametrize("name", _QUICK)
def test_planted_bug(name: str, tmp_path: Path) -> None:
    """Without feedback too, changes of the corpus find a planted bug."""
    source = plant(BUGS[name], tmp_path)
    command = [sys.executable, "-c", _HUNT, BUGS[name].target]
    done = subprocess.run(
        command, env=environment(source), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("Violation"), done.stdout


def test_bugs_can_be_planted(tmp_path: Path) -> None:
    """Every planted bug still fits the source."""
    for name, bug in BUGS.items():
        plant(bug, tmp_path / name)
