"""Jobs for the executor, repositories for whole runs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flow_client.executor import Control, Host, LocalPod
from tests.servers.git import GitServer

TOKEN = "t%k@n+/"


@dataclass
class Executed:
    """How a Pod ended."""

    pod: LocalPod
    output: str
    steps: list[dict[str, Any]]

    @property
    def status(self) -> dict[str, Any]:
        return self.pod.pod["status"]

    def end(self, name: str) -> dict[str, Any]:
        """Returns the terminated state of a container."""
        entries = [*self.status.get("initContainerStatuses", []), *self.status["containerStatuses"]]
        return next(entry["state"]["terminated"] for entry in entries if entry["name"] == name)


@dataclass
class Executor:
    """Executes Pods as Jobs, and removes what they leave."""

    folder: Path
    control: Control = field(default_factory=Control)
    secrets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    config_maps: dict[str, dict[str, bytes]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    pods: list[LocalPod] = field(default_factory=list)

    def job(self, spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
        """Returns a Job with this Pod."""
        annotations = {"example.com/plan": '{"a": 1}'}
        template = {"metadata": {"annotations": annotations}, "spec": spec}
        return {
            "metadata": {"name": "job", "namespace": "data"},
            "spec": {"template": template, **fields},
        }

    def run(self, *containers: dict[str, Any], **fields: Any) -> Executed:
        """Runs containers, the last one as the main one; fields are of Pod or Job."""
        job_fields = {k: v for k, v in fields.items() if k == "activeDeadlineSeconds"}
        pod_fields = {k: v for k, v in fields.items() if k not in job_fields}
        spec = {"initContainers": list(containers[:-1]), "containers": [containers[-1]]}
        with (self.folder / "output").open("wb") as output:
            pod = LocalPod(
                self.job({**spec, **pod_fields}, **job_fields),
                secrets=self.secrets,
                config_maps=self.config_maps,
                host=Host(sys.executable, self.environment),
                control=self.control,
                streams=lambda _: (output, output),
            )
            self.pods.append(pod)
            steps = [json.loads(json.dumps(pod.pod["status"])) for _ in pod.run()]
        return Executed(pod, (self.folder / "output").read_text(), steps)


def shell(script: str, name: str = "main", **fields: Any) -> dict[str, Any]:
    """Returns a container that runs a shell script."""
    return {"name": name, "command": ["sh", "-ec", script], **fields}


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    """Returns an executor; what it leaves goes with the test."""
    made = Executor(tmp_path)
    yield made
    for pod in made.pods:
        pod.remove()


@dataclass
class Workspace:
    """A folder with manifests, and a git server with a repository of flows."""

    folder: Path
    server: GitServer
    commit: str = ""

    def commit_files(self, **files: str) -> None:
        """Commits Python files, named without `.py`, to the repository `flows.git`."""
        tree = self.folder / "tree"
        for name, text in files.items():
            tree.mkdir(exist_ok=True)
            (tree / f"{name}.py").write_text(text)
        self.commit_tree(tree)

    def commit_tree(self, tree: Path) -> None:
        """Commits a folder to the repository `flows.git`."""
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_DIR": str(self.folder / "flows.git"),
            "GIT_WORK_TREE": str(tree),
            "GIT_CONFIG_GLOBAL": os.devnull,
        }
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
        for command in (
            ["init", "-q"],
            ["symbolic-ref", "HEAD", "refs/heads/main"],
            ["add", "--all"],
            [*who, "commit", "-qm", "flows"],
        ):
            subprocess.run(["git", *command], cwd=tree, env=environment, check=True)
        head = ["git", "rev-parse", "HEAD"]
        self.commit = subprocess.check_output(head, env=environment, text=True).strip()

    def deployment(self, **spec: Any) -> dict[str, Any]:
        """Returns a FlowDeployment of the repository."""
        source = {"git": {"url": f"{self.server.url}/flows.git", "ref": {"branch": "main"}}}
        return {
            "apiVersion": "flow-operator.io/v1alpha1",
            "kind": "FlowDeployment",
            "metadata": {"name": "etl", "namespace": "data"},
            "spec": {"source": source, "entrypoint": "flow.py:main", **spec},
        }

    def command(self, *manifests: dict[str, Any], options: tuple[str, ...] = ()) -> list[str]:
        """Writes the manifests to a file and returns the command that runs them."""
        file = self.folder / "flow.json"
        file.write_text(json.dumps({"kind": "List", "items": manifests}))
        command = [sys.executable, "-m", "flow_client", "run", "--local", "-f", str(file)]
        return [*command, *options]

    def environment(self) -> dict[str, str]:
        """Returns a shell's environment, with a folder of its own for temporary files."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return {**os.environ, "TMPDIR": str(temporary), "COLUMNS": "200"}

    def run(
        self, *manifests: dict[str, Any], options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Runs the manifests as a user does."""
        return subprocess.run(
            self.command(*manifests, options=options),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def leftovers(self) -> list[str]:
        """Lists what runs have left behind among the temporary files."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """Returns a workspace whose repository is public."""
    with GitServer(tmp_path) as server:
        yield Workspace(tmp_path, server)
