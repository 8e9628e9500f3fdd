"""A window of the past is printed as FlowRuns that kubectl can create."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow_operator.api.validate import validate

WINDOW = ["--from", "2026-11-20T00:00:00Z", "--to", "2026-11-22T00:00:00Z"]


def backfill(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flow_client", "backfill", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def manifest(*schedules: str, name: str = "etl") -> dict[str, Any]:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": name, "namespace": "data"},
        "spec": {
            "source": {"git": {"url": "https://git.example/flows.git"}},
            "entrypoint": "flow.py:main",
            "schedules": [{"name": known, "cron": "0 3 * * *"} for known in schedules],
        },
    }


def test_each_tick_of_the_window_is_a_run(tmp_path: Path) -> None:
    """From a file as from standard input, and always under the same names."""
    text = json.dumps(manifest("nightly"))
    (tmp_path / "etl.json").write_text(text)
    done = backfill("-f", str(tmp_path / "etl.json"), *WINDOW)
    assert (done.returncode, done.stderr) == (0, "2 runs\n")
    runs = list(yaml.safe_load_all(done.stdout))
    assert [run["spec"]["trigger"]["scheduledTime"] for run in runs] == [
        "2026-11-20T03:00:00Z",
        "2026-11-21T03:00:00Z",
    ]
    assert {run["metadata"]["namespace"] for run in runs} == {"data"}
    assert [validate("FlowRun", run) for run in runs] == [[], []]
    assert backfill("-f", "-", *WINDOW, stdin=text).stdout == done.stdout


@pytest.mark.parametrize(
    ("objects", "arguments", "problem"),
    [
        ([], WINDOW, "there is no FlowDeployment in the files given"),
        ([manifest("a"), manifest("a", name="b")], WINDOW, "say which one: b, etl"),
        ([manifest("a", "b")], WINDOW, "--schedule: say which one: a, b"),
        ([manifest()], WINDOW, "--schedule: say which one: there is none"),
        ([manifest("a")], [*WINDOW, "--schedule", "b"], "has no schedule 'b'"),
        ([manifest("a")], ["--from", "yesterday", *WINDOW[2:]], "--from yesterday: "),
        ([manifest("a")], [*WINDOW[:2], "--to", "2026-11-22T00:00:00"], "end it with Z"),
        ([manifest("a")], [*WINDOW[:2], "--to", "2046-11-22T00:00:00Z"], "choose a shorter one"),
    ],
)
def test_what_is_wrong_is_one_line(
    objects: list[dict[str, Any]], arguments: list[str], problem: str
) -> None:
    """The option and the remedy are named, without a traceback."""
    done = backfill("-f", "-", *arguments, stdin="\n---\n".join(map(json.dumps, objects)))
    assert done.returncode == 2
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
    assert not done.stdout
