"""`kubectl flow run --local` as a user runs it: real processes, a real git server."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flow_client.cli import app
from tests.servers.authority import Authority
from tests.servers.git import GitServer

from .conftest import TOKEN, Workspace

HELLO = "def main(name='world'):\n    print('Hello,', name)\n    return {'name': name}\n"


def test_a_run_prints_its_stages_and_the_codes_output(workspace: Workspace):
    """The code's output is on standard output, and the stages with the revision on the other."""
    workspace.commit_files(flow=HELLO)

    done = workspace.run(workspace.deployment(), options=("-p", "name=Ada"))

    assert (done.returncode, done.stdout) == (0, "Hello, Ada\n")
    lines = [
        rf"        Note image python:\S+ is not used here: python3 is {re.escape(sys.executable)}",
        rf"    Fetching {workspace.server.url}/flows\.git@main",
        rf"     Fetched {workspace.commit}, 1 file, \d+ bytes, in \d+\.\d\ds",
        r"     Running flow\.py:main",
        r"   Succeeded in \d+\.\d\ds, result {\"name\": \"Ada\"}",
    ]
    assert re.fullmatch("\n".join(lines), done.stderr.strip("\n")), done.stderr
    assert workspace.leftovers() == []


def test_json_is_the_run_with_the_status_that_the_operator_writes(workspace: Workspace):
    """With -o json standard output is the FlowRun alone, and the code's output is on the other."""
    workspace.commit_files(flow=HELLO)

    done = workspace.run(workspace.deployment(), options=("-o", "json"))

    run = json.loads(done.stdout)
    assert "Hello, world" in done.stderr
    assert run["kind"] == "FlowRun"
    assert run["status"]["phase"] == "Succeeded"
    assert run["status"]["revision"] == workspace.commit
    assert run["status"]["result"] == {"name": "world"}
    assert run["status"]["resolvedSpec"]["entrypoint"] == "flow.py:main"
    assert set(run["status"]["attempts"][0]["seconds"]) == {"pending", "fetch", "run"}


@pytest.mark.parametrize(
    ("spec", "flow", "code", "reason", "words"),
    [
        ({"entrypoint": "flow.py:mian"}, HELLO, 220, "EntrypointNotFound", "did you mean main?"),
        ({"parameters": {"nam": 1}}, HELLO, 221, "InvalidParameters", "did you mean name?"),
        ({}, "def main():\n    raise ValueError('boom')", 1, "FlowFailed", "ValueError: boom"),
        ({}, "import sys\ndef main():\n    sys.exit(7)", 7, "FlowFailed", "exit code 7"),
        ({}, "def main(:", 1, "FlowFailed", "SyntaxError"),
        ({"entrypoint": "flaw.py:main"}, HELLO, 1, "EntrypointNotFound", "flaw.py"),
        ({"workingDirectory": "etl"}, HELLO, 1, "PathNotFound", "etl"),
        (
            {"entrypoint": None, "command": ["no-such-program"]},
            HELLO,
            128,
            "ContainerStartFailed",
            "no-such-program: No such file or directory",
        ),
    ],
)
def test_a_failure_has_a_reason_words_and_the_codes_exit_code(
    workspace: Workspace, spec: dict[str, object], flow: str, code: int, reason: str, words: str
):
    """Each mistake has its reason and says what to do; the exit code is the container's."""
    workspace.commit_files(flow=flow)
    deployment = workspace.deployment(**spec)
    deployment["spec"] = {key: value for key, value in deployment["spec"].items() if value}

    done = workspace.run(deployment)

    assert f"      Failed {reason} after " in done.stderr
    assert words in done.stderr
    assert "kubectl logs" not in done.stderr
    assert "flow_client" not in done.stderr
    assert (done.returncode, workspace.leftovers()) == (code, [])


def test_a_wrong_branch_is_named(workspace: Workspace):
    """A fetch that fails ends with 1, its reason, and what is there instead."""
    workspace.commit_files(flow=HELLO)
    deployment = workspace.deployment()
    deployment["spec"]["source"]["git"]["ref"] = {"branch": "mian"}

    done = workspace.run(deployment)

    assert done.returncode == 1
    assert "      Failed RevisionNotFound after " in done.stderr
    assert "branch main" in done.stderr


def test_a_server_that_is_away_is_said_while_it_is_tried(workspace: Workspace):
    """What the fetch warns of is shown as it comes, without the rest of its log."""
    workspace.commit_files(flow=HELLO)
    deployment = workspace.deployment()
    workspace.server.stop()
    process = subprocess.Popen(
        workspace.command(deployment),
        env=workspace.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    lines = [process.stderr.readline() for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)

    assert re.fullmatch(r"        Note no connection to .*; trying again in .*\n", lines[2])


@pytest.fixture
def private(tmp_path: Path):
    """Returns a workspace whose repository is served over HTTPS, for a token."""
    authority = Authority()
    with GitServer(tmp_path, users={"*": TOKEN}, authority=authority) as server:
        workspace = Workspace(tmp_path, server)
        workspace.commit_files(flow=HELLO)
        yield workspace, authority


def secret(name: str, **data: str) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "data"},
        "stringData": data,
    }


def test_a_secret_reaches_the_fetch_and_nothing_else(private: tuple[Workspace, Authority]):
    """A Secret of the files opens a private repository; the code finds nothing of it."""
    workspace, authority = private
    hunt = (
        "import os, pathlib\n"
        "def main():\n"
        "    root = pathlib.Path(os.environ['HOME']).parents[2]\n"
        "    files = [p for p in root.rglob('*') if p.is_file()]\n"
        "    found = [str(p) for p in files if os.environ['NEEDLE'].encode() in p.read_bytes()]\n"
        "    return [len(files) > 1, found]\n"
    )
    workspace.commit_files(flow=hunt)
    deployment = workspace.deployment(env=[{"name": "NEEDLE", "value": TOKEN[:-1]}])
    deployment["spec"]["source"]["git"]["secretRef"] = {"name": "token"}

    done = workspace.run(deployment, secret("token", token=TOKEN, **{"ca.crt": authority.pem}))

    assert "result [true, []]" in done.stderr, done.stderr
    assert TOKEN not in done.stdout + done.stderr


def test_a_missing_secret_is_an_answer_at_once(private: tuple[Workspace, Authority]):
    """Nothing arrives later here, so that a missing Secret ends the run without a wait."""
    workspace, _ = private
    deployment = workspace.deployment()
    deployment["spec"]["source"]["git"]["secretRef"] = {"name": "token"}

    done = workspace.run(deployment, options=("-o", "json"))

    assert done.returncode == 1
    assert "Note Secret token of namespace data is not in the files given: add it" in done.stderr
    assert "      Failed SecretNotFound after " in done.stderr
    assert json.loads(done.stdout)["status"]["phase"] == "Failed"


def test_a_wrong_token_is_an_authentication_failure(private: tuple[Workspace, Authority]):
    """A token that the server refuses has its own reason, and is not printed."""
    workspace, authority = private
    deployment = workspace.deployment()
    deployment["spec"]["source"]["git"]["secretRef"] = {"name": "token"}

    done = workspace.run(
        deployment, secret("token", token="wr0ng+", **{"ca.crt": authority.pem}), options=("-v",)
    )

    assert done.returncode == 1
    assert "      Failed AuthenticationFailed after " in done.stderr
    assert "wr0ng" not in done.stderr


def test_a_revision_can_be_given(workspace: Workspace):
    """--revision runs a commit that the branch has left behind."""
    workspace.commit_files(flow="def main(): print('old')\n")
    old = workspace.commit
    workspace.commit_files(flow="def main(): print('new')\n")

    assert workspace.run(workspace.deployment()).stdout == "new\n"
    assert workspace.run(workspace.deployment(), options=("--revision", old)).stdout == "old\n"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 128 + signal.SIGINT), (signal.SIGTERM, 143)]
)
def test_a_signal_cancels_the_run(workspace: Workspace, number: int, code: int):
    """Ctrl-C and SIGTERM reach the code as SIGTERM, and the run is Cancelled."""
    workspace.commit_files(
        flow="""
import time
def main():
    try:
        print("ready")
        time.sleep(30)
    finally:
        print("cleaned up")
"""
    )
    process = subprocess.Popen(
        workspace.command(workspace.deployment()),
        env=workspace.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)

    assert (process.returncode, stdout) == (code, "cleaned up\n")
    assert "   Cancelled after " in stderr
    assert workspace.leftovers() == []


def test_keep_leaves_the_directories_and_verbose_shows_the_fetch(workspace: Workspace):
    """--keep says where the tree is; --verbose adds the fetcher's log."""
    workspace.commit_files(flow=HELLO)

    done = workspace.run(workspace.deployment(), options=("--keep", "--verbose"))

    match = re.search(r"directories are kept in (\S+)", done.stderr)
    assert match
    assert Path(match[1], "volumes/flow/src/flow.py").read_text() == HELLO
    assert re.search(r"Z INFO ", done.stderr)


def test_another_interpreter_can_run_the_code(workspace: Workspace):
    """--python is the interpreter that stands for the image's."""
    workspace.commit_files(flow="import os\ndef main():\n    print(os.environ['VIA'])\n")
    wrapper = workspace.folder / "my-python"
    wrapper.write_text(f'#!/bin/sh\nVIA=wrapper exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)

    done = workspace.run(workspace.deployment(), options=("--python", str(wrapper)))

    assert done.stdout == "wrapper\n"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["-f", "nowhere.yaml"], "error: nowhere.yaml: No such file or directory\n"),
        (
            ["-f", os.devnull, "--python", "no-python"],
            "error: --python no-python: there is no such program\n",
        ),
        (["-f", os.devnull], "error: there is no FlowDeployment in the files given\n"),
        (["-f", os.devnull, "-p", "a"], "error: --parameter 'a' must be name=value\n"),
    ],
)
def test_wrong_options_are_one_line(workspace: Workspace, arguments: list[str], problem: str):
    """What is wrong before a run starts is one line without a traceback, and exit code 2."""
    command = [sys.executable, "-m", "flow_client", "run", "--local", *arguments]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (2, problem)


def test_an_invalid_manifest_is_refused_as_by_the_api_server(workspace: Workspace):
    """The field and the file are named, and nothing runs."""
    done = workspace.run(workspace.deployment(runOn=["Never"]))

    assert done.returncode == 2
    assert re.fullmatch(
        r'error: \S+/flow\.json: FlowDeployment etl: spec\.runOn\[0\]: unsupported value "Never": '
        r'use one of "SpecChange"\n',
        done.stderr,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], []])
def test_help_is_at_hand(arguments: list[str]):
    """Help names the command as users type it."""
    result = CliRunner().invoke(app, arguments, prog_name="kubectl flow")

    assert result.output.startswith("Usage: kubectl flow ")


def test_help_does_not_load_what_runs_flows():
    """Help is quick, because only the command line is imported for it."""
    code = (
        "import sys; from flow_client.cli import app\n"
        "print([m for m in ('rich.console', 'yaml', 'flow_operator.core') if m in sys.modules])"
    )

    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_without_local_the_way_to_a_cluster_is_named():
    """A run without --local says how a run in the cluster is made."""
    result = CliRunner().invoke(app, ["run", "-f", os.devnull])

    assert result.exit_code == 2
    assert "kubectl create -f" in result.output
