"""A cluster by kind, where Docker answers: a small fixture around the two binaries."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.binaries import KUBERNETES, tool
from tests.cluster.console import ClusterError, run, step
from tests.cluster.paths import cache
from tests.cluster.recipes import Recipe
from tests.cluster.system import lock

_NAME = "flow-test"


def docker_answers() -> bool:
    """Whether there is a Docker engine, not only its client."""
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class KindCluster:
    """A kind cluster of one node, its kubeconfig apart from the developer's own."""

    context = f"kind-{_NAME}"

    def __init__(self) -> None:
        self.kubeconfig = cache() / "kind" / "kubeconfig"

    def up(self) -> None:
        """Make the cluster, unless it answers."""
        with lock("cluster"):
            if self.healthy():
                return
            self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            with step("make a cluster by kind"):
                self._kind("delete", "cluster")
                self._kind("create", "cluster", "--image", f"kindest/node:{KUBERNETES}")

    def down(self) -> None:
        """Delete the cluster."""
        with lock("cluster"), step("delete the kind cluster"):
            self._kind("delete", "cluster")

    def purge(self) -> None:
        """The same: nothing else is kept."""
        self.down()

    def healthy(self) -> bool:
        """Whether its API server answers."""
        if not self.kubeconfig.exists():
            return False
        try:
            self._kubectl("get", "--raw", "/readyz")
        except ClusterError:
            return False
        return True

    def status(self) -> dict[str, str]:
        """Whether it answers."""
        return {"kind": "ready" if self.healthy() else "not ready"}

    def images(self) -> Mapping[str, str]:
        """Full image name → digest on the node."""
        listed = run(
            [
                "docker",
                "exec",
                f"{_NAME}-control-plane",
                "ctr",
                "--namespace",
                "k8s.io",
                "images",
                "list",
            ]
        )
        return {words[0]: words[2] for words in map(str.split, listed.splitlines()[1:])}

    def load(self, archive: Path) -> None:
        """Take the images of a docker-archive."""
        self._kind("load", "image-archive", str(archive))

    def _kind(self, *arguments: str) -> str:
        program = shutil.which("kind") or tool("kind")
        environment = {**os.environ, "KUBECONFIG": str(self.kubeconfig)}
        return run([program, *arguments, "--name", _NAME], env=environment)

    def _kubectl(self, *arguments: str) -> str:
        program = shutil.which("kubectl") or tool("kubectl")
        target = ["--kubeconfig", str(self.kubeconfig), "--context", self.context]
        return run([program, *target, *arguments])


class Docker:
    """Builds images by the Docker engine, on the base that the Dockerfiles name."""

    def prepare(self) -> None:
        """Nothing: the engine pulls the base."""

    def build(self, recipe: Recipe) -> None:
        """Build an image."""
        if recipe.dockerfile is None:
            run(["docker", "pull", base()])
            run(["docker", "tag", base(), recipe.full_name])
            return
        with tempfile.TemporaryDirectory() as folder:
            recipe.stage(Path(folder))
            base_argument = f"BASE_IMAGE={base()}"
            target = ["--target", recipe.target] if recipe.target else []
            run(
                ["docker", "build", *target, "--build-arg", base_argument, "--tag",
                 recipe.full_name, folder]
            )  # fmt: skip

    def has(self, recipe: Recipe) -> bool:
        """Whether the engine has an image of that name."""
        try:
            run(["docker", "image", "inspect", recipe.full_name])
        except ClusterError:
            return False
        return True

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write it to a docker-archive."""
        run(["docker", "save", "--output", archive, recipe.full_name])


def base() -> str:
    """The base image where a registry answers."""
    return os.environ.get("FLOW_TEST_BASE_IMAGE") or "python:3.13-slim"
