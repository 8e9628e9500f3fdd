"""Containers as processes: what a kubelet promises, kept without a cluster."""

import json
import os
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from flow_client.errors import UnsupportedError
from flow_client.executor.container import expand, locate

from .conftest import Executor, shell

FLOW = {"name": "flow", "emptyDir": {}}
ON_FLOW = [{"name": "flow", "mountPath": "/flow"}]


def test_init_containers_run_first_and_share_volumes(executor: Executor):
    """Init containers run in order before the main one, and volumes are theirs together."""
    ended = executor.run(
        shell("echo 1 >> $FILE", "one", volumeMounts=ON_FLOW, env=[env("FILE", "/flow/log")]),
        shell("echo 2 >> $1", "two", volumeMounts=ON_FLOW, args=["sh", "/flow/log"]),
        shell("cat log", volumeMounts=ON_FLOW, workingDir="/flow"),
        volumes=[FLOW],
    )

    assert ended.output == "1\n2\n"
    assert ended.status["phase"] == "Succeeded"
    assert [ended.end(name)["exitCode"] for name in ("one", "two", "main")] == [0, 0, 0]


def test_each_step_shows_in_the_status(executor: Executor):
    """The Pod's status goes through the steps that the API server would show."""
    ended = executor.run(shell("true", "fetch"), shell("true"))

    states = [
        (
            step["phase"],
            *(
                next(iter(entry["state"]))
                for kind in ("initContainerStatuses", "containerStatuses")
                for entry in step.get(kind, [])
            ),
        )
        for step in ended.steps
    ]
    assert states == [
        ("Pending", "running"),
        ("Pending", "terminated"),
        ("Running", "terminated", "running"),
        ("Succeeded", "terminated", "terminated"),
    ]
    assert ended.pod.job["status"]["conditions"] == [{"type": "Complete", "status": "True"}]


def test_a_failed_init_container_ends_the_pod(executor: Executor):
    """After an init container has failed nothing else runs."""
    ended = executor.run(shell("exit 7", "fetch"), shell("echo ran"))

    assert (ended.status["phase"], ended.output) == ("Failed", "")
    assert ended.status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 7
    assert "containerStatuses" not in ended.status
    assert ended.pod.job["status"]["conditions"][0]["type"] == "Failed"


def test_a_termination_message_is_the_end_of_its_file(executor: Executor):
    """The message is what the container leaves at its path, the last 4096 bytes of it."""
    ended = executor.run(
        shell("printf short > $1", "fetch", args=["sh", "/dev/termination-log"]),
        shell(
            "head -c 5000 /dev/zero | tr '\\0' x > $LOG; printf end >> $LOG",
            terminationMessagePath="/log",
            env=[env("LOG", "/log")],
        ),
    )

    assert ended.end("fetch")["message"] == "short"
    assert ended.end("main")["message"] == "x" * 4093 + "end"


def test_messages_of_many_containers_share_what_a_pod_may_have(executor: Executor):
    """Messages keep their beginning when 12288 bytes are divided over many containers."""
    script = "printf start > $1; head -c 4000 /dev/zero | tr '\\0' x >> $1"
    containers = [
        shell(script, f"c{index}", args=["sh", "/dev/termination-log"]) for index in range(4)
    ]

    ended = executor.run(*containers)

    assert ended.end("c0")["message"] == "start" + "x" * (3072 - 5)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 3", 3), ("kill -9 $$$$", 137), ("kill -15 $$$$", 143)]
)
def test_exit_codes_are_those_of_a_container_runtime(executor: Executor, script: str, code: int):
    """An exit code is passed on; a signal is 128 and its number."""
    assert executor.run(shell(script)).end("main")["exitCode"] == code


def test_a_program_that_is_missing_is_a_start_error(executor: Executor):
    """A command that cannot be started ends as the kubelet reports it, with the name."""
    ended = executor.run({"name": "main", "command": ["no-such-program"]})

    assert ended.end("main")["reason"] == "StartError"
    assert ended.end("main")["exitCode"] == 128
    assert ended.end("main")["message"] == "no-such-program: No such file or directory"


def env(name: str, value: str) -> dict[str, Any]:
    return {"name": name, "value": value}


def test_variables_come_from_all_their_sources(executor: Executor):
    """Values, references, fields, Secrets and ConfigMaps become variables as in Kubernetes."""
    executor.secrets["token"] = {"key": b"s3cret"}
    executor.config_maps["settings"] = {"LEVEL": b"INFO", "KEPT": b"config"}
    ended = executor.run(
        shell(
            'printf "%s\\n" "$A" "$B" "$C" "$D" "$PRE_LEVEL" "$NAME" "$PLAN" "$TOKEN"; '
            "echo ${NONE-unset}",
            envFrom=[
                {"configMapRef": {"name": "settings"}, "prefix": "PRE_"},
                {"configMapRef": {"name": "missing", "optional": True}},
            ],
            env=[
                env("A", "a"),
                env("B", "$(A)b"),
                env("C", "$$(A) $(UNKNOWN)"),
                env("D", "$(PRE_KEPT)"),
                {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {
                    "name": "PLAN",
                    "valueFrom": {
                        "fieldRef": {"fieldPath": "metadata.annotations['example.com/plan']"}
                    },
                },
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}},
                {
                    "name": "NONE",
                    "valueFrom": {
                        "secretKeyRef": {"name": "token", "key": "none", "optional": True}
                    },
                },
            ],
        )
    )

    assert ended.output.splitlines() == [
        "a",
        "ab",
        "$(A) $(UNKNOWN)",
        "config",
        "INFO",
        "data",
        '{"a": 1}',
        "s3cret",
        "unset",
    ]


def test_the_users_shell_does_not_leak_into_containers(executor: Executor):
    """A container sees a minimal environment: no credentials of the shell, but its proxies."""
    executor.environment.update({"AWS_SECRET_ACCESS_KEY": "x", "HTTPS_PROXY": "http://proxy"})

    ended = executor.run({"name": "main", "command": ["env"]})

    names = {line.partition("=")[0] for line in ended.output.splitlines()}
    assert names - {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} <= {
        "PATH",
        "LANG",
        "HTTPS_PROXY",
        *("HTTP_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    }
    assert "HTTPS_PROXY=http://proxy" in ended.output


@pytest.mark.parametrize(
    ("text", "located"),
    [
        ("/flow", "/here"),
        ("/flow/src/a", "/here/src/a"),
        ("/flow/deep/a", "/other/a"),
        ("/flower", "/flower"),
        ("cat /flow/src", "cat /flow/src"),
        ("/dev/termination-log", "/messages/main"),
        ("flow", "flow"),
    ],
)
def test_a_path_of_a_mount_is_a_path_here(text: str, located: str):
    """What is the path of a mount or below one is mapped, by the longest mount that fits."""
    paths = {
        "/flow": Path("/here"),
        "/flow/deep": Path("/other"),
        "/dev/termination-log": Path("/messages/main"),
    }

    assert locate(text, paths) == located


def test_references_are_expanded_before_paths_are_mapped(executor: Executor):
    """A path that is put together from variables is the container's until the end."""
    ended = executor.run(
        shell(
            'echo "$CACHE"; test "$CACHE" = "$0" && mkdir "$CACHE"',
            args=["$(HOME)/cache"],
            volumeMounts=[*ON_FLOW, {"name": "tmp", "mountPath": "/tmp"}],
            env=[env("HOME", "/flow/home"), env("CACHE", "$(HOME)/cache")],
            workingDir="/flow/home",
        ),
        volumes=[FLOW, {"name": "tmp", "emptyDir": {}}],
    )

    assert ended.output == f"{ended.pod.root}/volumes/flow/home/cache\n"
    assert ended.status["phase"] == "Succeeded"


def test_expansion_leaves_what_it_does_not_know():
    """`$(NAME)` is replaced, `$$` is a dollar, everything else stays."""
    assert expand("$(A) $$(A) $(B) $A ${A} $", {"A": "1"}) == "1 $(A) $(B) $A ${A} $"


def test_volumes_hold_what_their_sources_say(executor: Executor):
    """Secrets, ConfigMaps, the downward API and projections become files with their modes."""
    executor.secrets["s"] = {"token": b"1", "other": b"2"}
    executor.config_maps["c"] = {"level": b"INFO"}
    annotation = {"fieldRef": {"fieldPath": "metadata.annotations['example.com/plan']"}}
    volumes = [
        {"name": "a", "secret": {"secretName": "s", "defaultMode": 0o440}},
        {"name": "b", "secret": {"secretName": "s", "items": [{"key": "token", "path": "x/y"}]}},
        {"name": "c", "secret": {"secretName": "missing", "optional": True}},
        {"name": "d", "configMap": {"name": "c"}},
        {"name": "e", "downwardAPI": {"items": [{"path": "plan.json", **annotation}]}},
        {"name": "f", "projected": {"sources": [{"secret": {"name": "s"}}]}},
    ]
    mounts = [{"name": v["name"], "mountPath": f"/{v['name']}"} for v in volumes]

    ended = executor.run(
        shell(
            'cd "$0"/..; find . -type f | sort | while read f; do echo "$f $(cat "$f")"; done; '
            "stat -c %a a/token",
            args=["/a"],
            volumeMounts=mounts,
        ),
        volumes=volumes,
    )

    assert ended.output.splitlines() == [
        "./a/other 2",
        "./a/token 1",
        "./b/x/y 1",
        "./d/level INFO",
        './e/plan.json {"a": 1}',
        "./f/other 2",
        "./f/token 1",
        "440",
    ]


def test_secrets_are_gone_when_no_container_to_come_mounts_them(executor: Executor):
    """The main container finds no file of a Secret that only an init container mounts."""
    executor.secrets["s"] = {"token": b"planted"}
    ended = executor.run(
        shell(
            "cat $0", "fetch", args=["/s/token"], volumeMounts=[{"name": "s", "mountPath": "/s"}]
        ),
        shell('grep -r planted "$0"/../.. || echo none', args=["/flow"], volumeMounts=ON_FLOW),
        volumes=[FLOW, {"name": "s", "secret": {"secretName": "s"}}],
    )

    assert ended.output == "plantednone\n"


def test_the_directory_is_private_and_goes_away(executor: Executor):
    """What a run writes is for its user alone, and removed after it unless it is kept."""
    pod = executor.run(shell("true"), volumes=[FLOW]).pod

    assert stat.S_IMODE(pod.root.stat().st_mode) == 0o700
    pod.remove(keep=True)
    assert (pod.root / "volumes/flow").is_dir()
    pod.remove()
    assert not pod.root.exists()


@pytest.mark.parametrize(
    ("containers", "fields", "problem"),
    [
        ([{"name": "main"}], {}, "container main: without its image it needs a command"),
        (
            [shell("true", "proxy", restartPolicy="Always"), shell("true")],
            {},
            "sidecar containers need a cluster; the Pod has proxy, main",
        ),
        (
            [shell("true")],
            {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
            "volume v: hostPath needs a cluster",
        ),
        (
            [shell("true", envFrom=[{"secretRef": {"name": "s"}}])],
            {},
            "Secret 's' is not in the files given, and it is not optional: add it with -f",
        ),
        (
            [shell("true", env=[{"name": "A", "valueFrom": {"resourceFieldRef": {}}}])],
            {},
            "env A: resourceFieldRef needs a cluster",
        ),
    ],
)
def test_what_only_a_cluster_has_is_refused_before_anything_runs(
    executor: Executor, containers: list[dict[str, Any]], fields: dict[str, Any], problem: str
):
    """A Pod that cannot run here is refused at once, with what it is about it."""
    with pytest.raises(UnsupportedError) as caught:
        executor.run(shell("touch ran; echo ran"), *containers, **fields)

    assert str(caught.value) == problem.replace("has proxy", "has main, proxy")
    assert (executor.folder / "output").read_text() == ""


def test_a_deadline_stops_the_pod(executor: Executor):
    """After activeDeadlineSeconds the process gets SIGTERM, and the reason is DeadlineExceeded."""
    started = time.monotonic()
    ended = executor.run(
        shell("trap 'echo stopping; exit 9' TERM; sleep 30 & wait"), activeDeadlineSeconds=0.3
    )

    assert time.monotonic() - started < 10
    assert ended.output == "stopping\n"
    assert (ended.status["reason"], ended.end("main")["exitCode"]) == ("DeadlineExceeded", 9)
    assert ended.pod.job["status"]["conditions"][0]["reason"] == "DeadlineExceeded"


def test_a_stop_that_is_ignored_ends_with_a_kill(executor: Executor):
    """A process that does not end in its grace period is killed, with all that it has started."""
    threading.Timer(0.3, executor.control.stop).start()

    ended = executor.run(
        shell("trap '' TERM; sleep 31 & echo $!; wait; wait"), terminationGracePeriodSeconds=0.2
    )

    assert ended.end("main")["exitCode"] == 137
    with pytest.raises(ProcessLookupError):
        wait_for_end(int(ended.output))


def test_a_second_stop_kills_at_once(executor: Executor):
    """Who asks twice does not wait for the grace period."""
    for delay in (0.3, 0.4):
        threading.Timer(delay, executor.control.stop).start()
    started = time.monotonic()

    ended = executor.run(shell("trap '' TERM; sleep 30; sleep 30"))

    assert ended.end("main")["exitCode"] == 137
    assert time.monotonic() - started < 10


def test_after_a_stop_no_further_container_starts(executor: Executor):
    """A stop during an init container ends the Pod there."""
    threading.Timer(0.3, executor.control.stop).start()

    ended = executor.run(shell("sleep 30 & trap 'exit 0' TERM; wait", "fetch"), shell("echo ran"))

    assert (ended.status["phase"], ended.output) == ("Failed", "")


def test_what_a_container_leaves_behind_dies_with_it(executor: Executor):
    """Background processes end when the container's first process does."""
    ended = executor.run(shell("sleep 32 & echo $!"))

    with pytest.raises(ProcessLookupError):
        wait_for_end(int(ended.output))


def wait_for_end(pid: int) -> None:
    """Raises ProcessLookupError as soon as the process is gone."""
    for _ in range(100):
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        if state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z":
            raise ProcessLookupError  # it has ended, and nobody has collected it yet
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)


def test_python_and_the_fetcher_are_this_environments(executor: Executor):
    """`python3` is the interpreter that was chosen, and `flow-fetcher` the client's own."""
    ended = executor.run(
        {"name": "fetch", "command": ["flow-fetcher"], "args": ["--help"]},
        {
            "name": "main",
            "command": ["python3", "-c", "import json, sys; print(json.dumps(sys.executable))"],
        },
    )

    assert ended.output.startswith("usage: ")
    assert json.loads(ended.output.splitlines()[-1])
