"""What the host must have: Debian packages, root, a file lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.console import ClusterError, run, step
from tests.cluster.paths import cache

CLUSTER_PROGRAMS: Mapping[str, str] = {
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "iptables": "iptables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "mount": "mount",
}
"""Program → the Debian package that has it, for the node."""

IMAGE_PROGRAMS: Mapping[str, str] = {"buildah": "buildah", "debootstrap": "debootstrap"}
"""The same for building images without a registry."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def is_root() -> bool:
    """Whether this process may make namespaces and mounts."""
    return os.geteuid() == 0


def find(program: str) -> Path | None:
    """Where a program is: on PATH, or in the folders for administrators."""
    if program.startswith("/"):
        return Path(program) if os.access(program, os.X_OK) else None
    found = shutil.which(program) or shutil.which(program, path=_SYSTEM_PATH)
    return Path(found) if found else None


def require(programs: Mapping[str, str]) -> None:
    """Install the Debian packages of missing programs.

    Raises:
        ClusterError: Something is missing and cannot be installed here.
    """
    missing = sorted({package for program, package in programs.items() if not find(program)})
    if not missing:
        return
    names = " ".join(missing)
    if not (is_root() and shutil.which("apt-get")):
        raise ClusterError(
            f"missing: {names}. Install them (Debian: `apt-get install {names}`) and run this again"
        )
    log = cache() / "log" / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with step(f"install {names}"):
        run(["apt-get", "update"], env=environment, log=log)
        run(
            ["apt-get", "install", "-y", "--no-install-recommends", *missing],
            env=environment,
            log=log,
        )


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Hold a lock between processes: two test runs may start at once."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
