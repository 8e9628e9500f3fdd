"""A volume as the fetcher leaves it, and the runner as a process on it."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import flow_fetcher

RUNNER = Path(flow_fetcher.__file__).with_name("runner.py")


@dataclass
class Outcome:
    """What a run left behind."""

    code: int
    stdout: str
    stderr: str
    message: dict[str, Any]


@dataclass
class Volume:
    """`/flow` of one run."""

    root: Path
    python: str = sys.executable
    context: dict[str, Any] = field(
        default_factory=lambda: {"version": 1, "revision": "8c1f" * 10, "messageBudget": 4096}
    )

    def write(self, path: str, code: str) -> None:
        """Adds a file to the fetched tree."""
        file = self.root / "src" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(code))

    def start(self, entrypoint: str, parameters: Any = None, **env: str) -> subprocess.Popen[str]:
        """Starts the runner as the main container does."""
        context = {**self.context, "entrypoint": entrypoint, "parameters": parameters or {}}
        (self.root / "run/context.json").write_text(json.dumps(context))
        return subprocess.Popen(
            [self.python, "-u", self.root / "run/runner.py"],
            env={
                "PATH": os.environ["PATH"],
                "FLOW_TERMINATION_LOG": str(self.root / "message"),
                "PYTHONDONTWRITEBYTECODE": "1",
                **env,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Outcome:
        """Waits for the end and reads the termination message."""
        stdout, stderr = process.communicate(timeout=30)
        message = self.root / "message"
        read = json.loads(message.read_text()) if message.exists() else {}
        return Outcome(process.returncode, stdout, stderr, read)

    def run(self, entrypoint: str, parameters: Any = None, **env: str) -> Outcome:
        """Runs an entrypoint to its end."""
        return self.finish(self.start(entrypoint, parameters, **env))

    def call(self, code: str, parameters: Any = None, **env: str) -> Outcome:
        """Runs `main` of one file with this code."""
        self.write("flow.py", code)
        return self.run("flow.py:main", parameters, **env)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Returns an empty tree with the runner beside it."""
    for folder in ("src", "run"):
        (tmp_path / folder).mkdir()
    shutil.copy(RUNNER, tmp_path / "run/runner.py")
    return Volume(tmp_path)
