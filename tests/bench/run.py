"""Whole runs on the test cluster: from the Job to the first line of the user's code.

Ours is what the operator makes of a FlowRun. Beside it stands a Job as people write it by hand: an
init container with `git clone --depth 1`, and a main container that runs the file. Both have the
same image and the same code from the same server, and one waits for the other.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench import repositories, tables
from tests.bench.figures import Ratio, ratio
from tests.bench.places import BenchError
from tests.cluster import Cluster, ensure
from tests.cluster.release import install
from tests.servers.git import GitServer

GOAL = 1.1
SIZES = (21, 2_001)

_NAMESPACE = "bench-run"
_FILE = "flow.py"
_CODE = b"import time\nprint('began', time.time(), flush=True)\ndef main() -> None:\n    pass\n"
_PATIENCE = 120.0
_ALONE = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}

Object = dict[str, Any]


@dataclass
class Pairs:
    """Seconds from the Job to the code, in each round, for code of so many files."""

    files: int
    ours: list[float] = field(default_factory=list)
    by_hand: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> Ratio:
        """Ours by that of the Job written by hand."""
        return ratio(self.ours, self.by_hand)


def measure(*, pairs: int, say: Callable[[str], None]) -> list[Pairs]:
    """Run both in turn, so many times; the cluster is started where it does not run.

    Raises:
        BenchError: A run failed, or did not begin in time.
        ClusterError: There is no cluster.
    """
    cluster = ensure()
    if cluster.host_ip is None:
        raise BenchError(
            "Pods must reach this machine: the cluster of our own components is needed"
        )
    install(cluster)
    measured = []
    with ExitStack() as stack:
        stack.enter_context(_namespace(cluster))
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(GitServer(folder, host=cluster.host_ip, address="0.0.0.0"))
        for size in SIZES:
            name = _repository(folder, size)
            lane = _Lane(cluster, f"flow-{size}", f"{server.url}/{name}")
            found = Pairs(size + 1)
            lane.deploy()
            for number in range(pairs + 1):
                turns = [(found.ours, lane.ours), (found.by_hand, lane.by_hand)]
                for figures, run in turns[:: 1 if number % 2 else -1]:
                    seconds = run(number)
                    if number:  # the first pair warms the caches
                        figures.append(seconds)
            measured.append(found)
            say(f"{found.files:,} files: {found.ratio.value:.2f}")
    return measured


def table(measured: list[Pairs], *, markdown: bool) -> str:
    """What was measured, beside the goal."""
    rows: list[tuple[str, ...]] = [
        ("files", "our s", "lowest-highest", "by hand s", "lowest-highest", "ratio", "goal", "")
    ]
    for each in measured:
        found = each.ratio
        rows.append(
            (
                f"{each.files:,}",
                *_seconds(each.ours),
                *_seconds(each.by_hand),
                f"{found.value:.2f} ({found.low:.2f}-{found.high:.2f})",
                f"{GOAL}",
                "pass" if found.value <= GOAL else tables.MISS,
            )
        )
    return tables.draw(rows, markdown=markdown) + "\n"


def _seconds(figures: list[float]) -> tuple[str, str]:
    return f"{median(figures):.2f}", f"{min(figures):.2f}-{max(figures):.2f}"


class _Lane:
    """Starts runs of one repository and times them."""

    def __init__(self, cluster: Cluster, name: str, url: str) -> None:
        self._cluster = cluster
        self._name = name
        self._url = url

    def deploy(self) -> None:
        """Make the deployment whose runs are measured; it runs nothing by itself."""
        spec = {
            "source": {"git": {"url": self._url, "ref": {"branch": "main"}}},
            "entrypoint": f"{_FILE}:main",
            "image": self._cluster.images["flow-test-python"],
            "runOn": [],
        }
        self._apply({**_flow("FlowDeployment", self._name), "spec": spec})

    def ours(self, number: int) -> float:
        """What the operator makes of a FlowRun."""
        spec = {"deploymentRef": {"name": self._name}}
        return self._time({**_flow("FlowRun", f"{self._name}-{number}"), "spec": spec})

    def by_hand(self, number: int) -> float:
        """A Job that clones with git."""
        mount = [{"name": "code", "mountPath": "/code"}]
        init = {
            "name": "clone",
            "image": self._cluster.images["flow-test-servers"],
            "command": ["git", "clone", "--quiet", "--depth", "1", self._url, "/code/src"],
            "volumeMounts": mount,
            "securityContext": _ALONE,
        }
        main = {
            "name": "main",
            "image": self._cluster.images["flow-test-python"],
            "command": ["python3", "-u", f"/code/src/{_FILE}"],
            "volumeMounts": mount,
            "securityContext": _ALONE,
        }
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "initContainers": [init],
            "containers": [main],
            "volumes": [{"name": "code", "emptyDir": {}}],
        }
        metadata = {"name": f"{self._name}-by-hand-{number}", "namespace": _NAMESPACE}
        job: Object = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
        return self._time({**job, "spec": {"backoffLimit": 0, "template": {"spec": pod}}})

    def _time(self, wanted: Object) -> float:
        """Seconds from the Job that comes of this to the first line of its code."""
        with self._jobs() as jobs:
            self._apply(wanted)
            name, created = next(jobs)
        in_namespace = ["--namespace", _NAMESPACE]
        condition = f"--timeout={_PATIENCE:.0f}s"
        self._cluster.run(
            *in_namespace, "wait", f"job/{name}", "--for=condition=complete", condition
        )
        log = self._cluster.run(*in_namespace, "logs", f"job/{name}")
        began = [line.split()[1] for line in log.splitlines() if line.startswith("began ")]
        if len(began) != 1:
            raise BenchError(f"Job {name} did not run the code once: {log[-500:]}")
        return float(began[0]) - created

    @contextmanager
    def _jobs(self) -> Iterator[Iterator[tuple[str, float]]]:
        """New Jobs, each with the time at which the API server told of it."""
        path = f"/apis/batch/v1/namespaces/{_NAMESPACE}/jobs"
        version = json.loads(self._cluster.run("get", "--raw", path))["metadata"]["resourceVersion"]
        watch = f"{path}?watch=1&resourceVersion={version}&timeoutSeconds={_PATIENCE:.0f}"
        command = [self._cluster.kubectl, "--kubeconfig", self._cluster.kubeconfig]
        command += ["--context", self._cluster.context, "get", "--raw", watch]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            time.sleep(1)  # for the connection; what comes before it is told late
            try:
                yield _added(process.stdout)
            finally:
                process.kill()

    def _apply(self, wanted: Object) -> None:
        self._cluster.run("create", "-f", "-", stdin=json.dumps(wanted))


def _added(lines: Any) -> Iterator[tuple[str, float]]:
    for line in lines:
        now = time.time()
        event = json.loads(line)
        if event["type"] == "ADDED":
            yield event["object"]["metadata"]["name"], now
    raise BenchError("no Job was made")


def _flow(kind: str, name: str) -> Object:
    metadata = {"name": name, "namespace": _NAMESPACE}
    return {"apiVersion": "flow-operator.io/v1alpha1", "kind": kind, "metadata": metadata}


@contextmanager
def _namespace(cluster: Cluster) -> Iterator[None]:
    cluster.run("delete", "namespace", _NAMESPACE, "--ignore-not-found", "--timeout=90s")
    cluster.run("create", "namespace", _NAMESPACE)
    try:
        yield
    finally:
        cluster.run("delete", "namespace", _NAMESPACE, "--wait=false")


def _repository(folder: Path, files: int) -> str:
    """A copy of a generated repository with one more file, which tells when it is run."""
    name = f"flows-{files}.git"
    bare = folder / name
    shutil.copytree(repositories.generated(files).path, bare)
    change = b"commit refs/heads/main\ncommitter Ada <ada@example.com> 1800000000 +0000\n"
    change += b"data 3\nrun\nfrom refs/heads/main^0\nM 100644 inline %s\n" % _FILE.encode()
    change += b"data %d\n%s\n" % (len(_CODE), _CODE)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=bare, input=change, check=True)
    subprocess.run(["git", "repack", "-a", "-d", "--quiet"], cwd=bare, check=True)
    return name
