"""The command line: exit codes, messages, and nothing imported that the plan does not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flow_fetcher.__main__ as main_module
from flow_fetcher import __version__
from flow_fetcher.commandline import Options, parse


def run(directory: Path, plan: Any) -> tuple[int, dict[str, Any]]:
    file = directory / "plan.json"
    if plan is not None:
        file.write_text(plan if isinstance(plan, str) else json.dumps(plan))
    log = directory / "termination-log"
    arguments = ["fetch", "--plan", str(file), "--volume", str(directory / "flow")]
    code = main_module.main([*arguments, "--termination-log", str(log)])
    return code, json.loads(log.read_bytes())


GIT = {"version": 1, "source": {"type": "git", "git": {"url": "https://git.example/x"}}}


@pytest.fixture(autouse=True)
def _keep_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_module.signal, "signal", lambda number, handler: None)


@pytest.mark.parametrize("plan", [None, "", "{}", {"version": 9}])
def test_bad_plan(tmp_path: Path, plan: Any) -> None:
    """Even without a plan there is a message."""
    code, message = run(tmp_path, plan)
    assert (code, message["reason"]) == (1, "InvalidPlan")
    assert message["message"]
    assert message["remedy"]


def test_unexpected_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect is told with its type and a remedy; the trace is for those who ask for it."""

    def broken(*args: Any, redactor: Any, **kwargs: Any) -> None:
        redactor.add("s3cret-token")
        raise ZeroDivisionError("with s3cret-token inside")

    monkeypatch.setattr(main_module, "fetch", broken)
    code, message = run(tmp_path, GIT)
    assert (code, message["reason"]) == (1, "FetchFailed")
    assert message["message"] == "unexpected ZeroDivisionError: with *** inside"
    assert "FLOW_LOG_LEVEL=debug" in message["remedy"]
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.setenv("FLOW_LOG_LEVEL", "debug")
    run(tmp_path, GIT)
    log = capsys.readouterr().err
    assert "Traceback" in log
    assert "s3cret-token" not in log


def test_password_of_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxies of the environment have secrets, too."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise ValueError("it wants p@ss/w0rd, p%40ss%2fw0rd or YWRhOnBAc3MvdzByZA==")

    monkeypatch.setattr(main_module, "fetch", broken)
    monkeypatch.setenv("https_proxy", "http://ada:p%40ss/w0rd@proxy.example:3128")
    _, message = run(tmp_path, GIT)
    assert message["message"] == "unexpected ValueError: it wants ***, *** or ***"


def test_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message keeps to the plan's budget."""

    def broken(*args: Any, **kwargs: Any) -> None:
        raise ValueError("x" * 5000)

    monkeypatch.setattr(main_module, "fetch", broken)
    code, _ = run(tmp_path, {**GIT, "messageBudget": 700})
    assert code == 1
    assert len((tmp_path / "termination-log").read_bytes()) <= 700


def test_unwritable_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its message even a success is a failure: nobody would know the revision."""
    (tmp_path / "termination-log").mkdir()
    monkeypatch.setattr(main_module, "fetch", lambda *args, **kwargs: {"reason": "Succeeded"})
    (tmp_path / "plan.json").write_text(json.dumps(GIT))
    arguments = ["--plan", str(tmp_path / "plan.json"), "--volume", str(tmp_path / "flow")]
    log = str(tmp_path / "termination-log")
    assert main_module.main(["fetch", *arguments, "--termination-log", log]) == 1


@pytest.mark.parametrize(
    ("before", "policy"),
    [
        ("pass", os.SCHED_BATCH),
        ("os.sched_setscheduler = lambda *_: os.open('/nowhere', 0)", os.SCHED_OTHER),
        ("del os.sched_setscheduler", os.SCHED_OTHER),
    ],
)
def test_scheduling(before: str, policy: int) -> None:
    """The process yields willingly where it may, and works where it may not."""
    program = f"""
import os
import flow_fetcher.__main__ as program
{before}
program.main = lambda: os.sched_getscheduler(0)
program.run()
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == policy


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Both say what one wants to know."""
    for arguments, told in (
        (["--version"], __version__),
        (["--help"], "fetch"),
        (["fetch", "--help"], "--termination-log"),
    ):
        with pytest.raises(SystemExit) as caught:
            main_module.main(arguments)
        assert caught.value.code == 0
        assert told in capsys.readouterr().out


SLOW = ["argparse", "ast", "asyncio", "dataclasses", "email", "http", "inspect", "logging"]
SLOW += ["shutil", "ssl", "subprocess", "traceback"]
"""What takes milliseconds to import and has a lighter way, or is needed by failures alone."""


@pytest.mark.parametrize(
    ("source", "unwanted"),
    [
        (
            {"type": "git", "git": {"url": "http://localhost:1/x", "ref": {"commit": "0" * 40}}},
            [*SLOW, "obstore", "threading", "typing"],
        ),
        ({"type": "s3", "s3": {"bucket": "flows", "endpoint": "http://localhost:1"}}, SLOW),
    ],
)
def test_imports(tmp_path: Path, source: dict[str, Any], unwanted: list[str]) -> None:
    """Start-up counts in every run: a source brings in only what it uses."""
    program = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        "from flow_fetcher.__main__ import main\n"
        "from flow_fetcher.commandline import parse\n"
        "from flow_fetcher.plan import parse_plan\n"
        "from flow_fetcher.sources import open_source\n"
        "parse(['fetch', '--plan', 'p', '--volume', 'v', '--termination-log', 't'])\n"
        "source = open_source(parse_plan(sys.argv[1].encode()))\n"
        "print(json.dumps(sorted({*sys.argv[2:]} & (sys.modules.keys() - before))))\n"
    )
    plan = json.dumps({"version": 1, "source": source})
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, plan, *unwanted],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["fetch", "--volume", "v", "--plan", "p", "--termination-log", "t"],
        ["fetch", "--volume=v", "--plan", "p", "--termination-log", "t"],
    ],
)
def test_both_readers_of_arguments(arguments: list[str]) -> None:
    """What the operator writes is read without argparse, and read alike."""
    paths = {"plan": Path("p"), "volume": Path("v"), "termination_log": Path("t")}
    assert parse(arguments) == Options(**paths)
    assert parse([*arguments, "--credentials", "c"]) == Options(**paths, credentials=Path("c"))


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fetch"],
        ["fetch", "--plan", "p"],
        ["fetch", "--plan", "p", "--volume", "v", "--termination-log"],
        ["fetch", "--plan", "p", "--volume", "v", "--termination-log", "t", "--other", "o"],
        ["other", "--plan", "p", "--volume", "v", "--termination-log", "t"],
    ],
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that are not complete are told as by any other command."""
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    assert "usage: flow-fetcher" in capsys.readouterr().err
