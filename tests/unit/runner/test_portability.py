"""The runner works in any image: Python 3.9 or newer, nothing installed, nothing writable."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import RUNNER, Volume


def interpreters() -> list[str]:
    """Lists one interpreter of each Python that is installed here, our own first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [shutil.which(f"python3.{minor}") for minor in range(9, 20)]
    candidates += [str(path) for path in sorted(pyenv.glob("3.*/bin/python3"))]
    found = {sys.version_info[:2]: sys.executable}
    for candidate in filter(None, candidates):
        answer = subprocess.run([candidate, "-V"], capture_output=True, text=True, check=False)
        if match := re.match(r"Python 3\.(\d+)", answer.stdout):
            version = (3, int(match[1]))
            if version >= (3, 9):
                found.setdefault(version, candidate)
    return list(found.values())


@pytest.fixture(params=interpreters())
def anywhere(volume: Volume, request: pytest.FixtureRequest) -> Volume:
    """Returns a volume whose runner an installed interpreter executes."""
    volume.python = request.param
    return volume


def test_is_python_3_9_and_standard_library_only():
    """The file parses as Python 3.9 and imports nothing that has to be installed."""
    tree = ast.parse(RUNNER.read_text(), feature_version=(3, 9))
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name) or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert {name.split(".")[0] for name in imported} <= sys.stdlib_module_names


def test_runs_functions_with_typed_parameters(anywhere: Volume):
    """Async functions, annotations as strings and dates work in every Python."""
    outcome = anywhere.call(
        """
        from __future__ import annotations
        from dataclasses import dataclass, asdict
        from datetime import date
        from typing import Optional

        @dataclass
        class Row:
            day: str
            limit: int

        async def main(day: date, limit: int | None, names: list[str], deep: Optional[dict] = None):
            return [asdict(Row(str(day), limit)), names, deep]
        """,
        {"day": "2026-11-22", "limit": 3, "names": ["a"]},
    )

    assert outcome.stderr == ""
    assert outcome.message["result"] == [{"day": "2026-11-22", "limit": 3}, ["a"], None]


def test_refuses_parameters_and_entrypoints(anywhere: Volume):
    """Both refusals have their exit codes in every Python."""
    assert anywhere.call("def main(day: str): ...", {"day": 1}).code == 221
    assert anywhere.run("flow.py:mian").code == 220


def test_shows_the_users_traceback(anywhere: Volume):
    """The first frame of a failure is the user's in every Python."""
    outcome = anywhere.call("import asyncio\nasync def main():\n    await asyncio.wait_for(1, 1)\n")

    assert outcome.code == 1
    assert "src/flow.py" in outcome.stderr.splitlines()[1]
    assert "runner.py" not in outcome.stderr


def test_spawns_processes(anywhere: Volume):
    """`multiprocessing` finds the user's module in every Python, with its default start method."""
    outcome = anywhere.call(
        """
        import multiprocessing
        def double(x):
            return 2 * x
        def main():
            with multiprocessing.Pool(1) as pool:
                return pool.map(double, [1, 2])
        """
    )

    assert (outcome.message.get("result"), outcome.stderr) == ([2, 4], "")


def test_needs_no_writable_file_system_and_no_packages(anywhere: Volume):
    """Without the user's packages, in a tree that may not be written to, a run succeeds."""
    anywhere.write("flow.py", "def main():\n    print('hello')\n")
    (anywhere.root / "run/context.json").touch()
    for folder in ("src", "run"):
        os.chmod(anywhere.root / folder, 0o555)
    process = anywhere.start("flow.py:main", PYTHONNOUSERSITE="1", PYTHONSAFEPATH="1", LANG="C")

    outcome = anywhere.finish(process)

    assert (outcome.code, outcome.stdout) == (0, "hello\n")


def test_an_old_python_is_told_so():
    """A Python that is too old gets one line, not a traceback."""
    code = RUNNER.read_text().split("import importlib\n")[0]
    code = code.replace("sys.version_info <", "(3, 8) <")

    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert outcome.returncode == 1
    assert outcome.stderr.startswith("flow-runner needs Python 3.9 or newer; this image has 3.")
