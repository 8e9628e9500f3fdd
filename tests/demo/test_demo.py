"""`make demo` shows what it promises on any machine with git."""

import subprocess
import sys
from pathlib import Path

from examples.demo.__main__ import make_repository

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "examples.demo"]


def test_the_demo_prints_the_flows_output_and_its_commit(tmp_path: Path):
    """A private HTTPS repository, its output, its commit, and a mistake with the remedy."""
    commit = make_repository(tmp_path / "flows.git", tmp_path / "tree")

    done = subprocess.run(DEMO, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)

    assert done.returncode == 0, done.stderr
    assert f"Hello, Ada!\nHello, Ada!\nThis is revision {commit[:12]}.\n" in done.stdout
    assert f"     Fetched {commit}, " in done.stderr
    assert "      Failed RevisionNotFound after " in done.stderr
    assert "Correct spec.source.git.ref" in done.stderr
    assert "demo%token@+/" not in done.stdout + done.stderr


def test_a_machine_without_git_is_told_what_to_do(tmp_path: Path):
    """Without git the demo says how to install it."""
    environment = {"PATH": str(tmp_path)}

    done = subprocess.run(
        DEMO, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "apt-get install git" in done.stdout
