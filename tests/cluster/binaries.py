"""Programs built from pinned Go modules, once for each content of their sources."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.console import ClusterError, run, step
from tests.cluster.paths import HERE, cache
from tests.cluster.system import lock

KUBERNETES = "v1.34.1"
"""Also in kube/go.mod: what the components say of themselves."""

COMPONENTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
    "coredns",
)
"""The names that the one binary `kube` answers to."""

_MINIMUM_GO = (1, 25)
_KEPT_BUILDS = 2


@dataclass(frozen=True)
class Program:
    """A `main` package and the module whose go.sum pins it."""

    module: str
    package: str


# helm is built within the module of Kubernetes: it shares most of its packages, and
# takes 10 seconds there instead of minutes.
PROGRAMS = {
    "kube": Program("kube", "."),
    "pause": Program("kube", "./pause"),
    "helm": Program("kube", "helm.sh/helm/v3/cmd/helm"),
    "kind": Program("tools", "sigs.k8s.io/kind"),
    "kubeconform": Program("tools", "github.com/yannh/kubeconform/cmd/kubeconform"),
    "versitygw": Program("tools", "github.com/versity/versitygw/cmd/versitygw"),
    # A module of its own: its dependencies would change the versions of the others'.
    "fake-gcs-server": Program("gcs", "github.com/fsouza/fake-gcs-server"),
}

_VERSION_PACKAGES = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def tool(name: str) -> Path:
    """The path of a program, built if this is the first time it is asked for.

    Args:
        name: A component of Kubernetes (`kubectl`, …) or a key of `PROGRAMS`.

    Raises:
        ClusterError: There is no such program, no Go, or the build failed.
    """
    if name in COMPONENTS:
        return _build("kube").with_name(name)
    if name not in PROGRAMS:
        known = ", ".join(sorted([*COMPONENTS, *PROGRAMS]))
        raise ClusterError(f"no program {name!r}; known are: {known}")
    return _build(name)


@functools.cache
def _build(name: str) -> Path:
    program = PROGRAMS[name]
    module = HERE / program.module
    target = cache() / "bin" / f"{name}-{_digest(module, program)}" / name
    if target.exists():
        return target
    with lock(f"build-{name}"):
        if not target.exists():
            with step(f"build {name} from Go modules"):
                _compile(program, module, target)
    return target


def _compile(program: Program, module: Path, target: Path) -> None:
    log = cache() / "log" / f"build-{target.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.parent.with_suffix(".tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    version = " ".join(f"-X {package}.gitVersion={KUBERNETES}" for package in _VERSION_PACKAGES)
    run(
        # Two jobs: a compiler takes up to a gigabyte for the largest packages.
        [
            "go",
            "build",
            "-p",
            "2",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            f"-s -w {version}",
            "-o",
            str(unfinished / target.name),
            program.package,
        ],
        cwd=module,
        env={**os.environ, "CGO_ENABLED": "0"},
        log=log,
    )
    if target.name == "kube":
        for component in COMPONENTS:
            (unfinished / component).symlink_to("kube")
    unfinished.rename(target.parent)
    _forget_old(target)


def _forget_old(target: Path) -> None:
    """Keep the newest builds only: each is a hundred megabytes."""
    builds = target.parent.parent.glob(f"{target.name}-*")
    for build in sorted(builds, key=lambda path: path.stat().st_mtime)[:-_KEPT_BUILDS]:
        shutil.rmtree(build, ignore_errors=True)


def _digest(module: Path, program: Program) -> str:
    """What a build depends on: its sources, its pins and the compiler."""
    digest = hashlib.sha256(f"{program} {_go_version()} {KUBERNETES}".encode())
    for file in _sources(module):
        digest.update(file.relative_to(module).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]


def _sources(module: Path) -> Iterable[Path]:
    return sorted([module / "go.mod", module / "go.sum", *module.rglob("*.go")])


@functools.cache
def _go_version() -> str:
    try:
        version = subprocess.run(
            ["go", "env", "GOVERSION"], capture_output=True, text=True, check=True
        ).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError) as failure:
        raise ClusterError(
            "the programs of the test cluster are built from Go modules: install Go "
            f"{_MINIMUM_GO[0]}.{_MINIMUM_GO[1]} or newer and put `go` on PATH"
        ) from failure
    numbers = tuple(int(part) for part in version.removeprefix("go").split(".")[:2])
    if numbers < _MINIMUM_GO:
        raise ClusterError(f"{version} is too old: Go {_MINIMUM_GO[0]}.{_MINIMUM_GO[1]} is needed")
    return version
