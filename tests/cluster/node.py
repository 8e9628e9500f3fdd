"""The node: namespaces of its own on this machine, and a cable to them.

Like a node container of kind, but without a container engine: its network, mounts and
processes are its own, so it changes no firewall rule, route or sysctl of the host
(beside the routes to the cluster) and vanishes whole.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.console import ClusterError, run, wait_for
from tests.cluster.init import PRIVATE_FOLDERS
from tests.cluster.paths import HERE, NODE, Settings
from tests.cluster.processes import Process, spawn
from tests.cluster.system import find

_CGROUPS = Path("/sys/fs/cgroup")


class Node:
    """The namespaces, found again by the process 1 that holds them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._record = settings.run / "node.pid"

    def init(self) -> Process | None:
        """Process 1 of the node, if it is there."""
        return Process.read(self._record)

    def make(self) -> None:
        """Make the namespaces, the cable and the control groups."""
        settings = self.settings
        if self.init():
            return
        settings.run.mkdir(parents=True, exist_ok=True)
        ready = settings.run / "node.ready"
        ready.unlink(missing_ok=True)
        for folder in PRIVATE_FOLDERS:
            Path(folder).mkdir(parents=True, exist_ok=True)
        outer = spawn(
            [
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--uts",
                "--fork",
                "--kill-child",
                "--mount-proc",
                "--",
                sys.executable,
                "-I",
                str(HERE / "init.py"),
                str(settings.run),
                str(settings.state),
                NODE,
            ],
            settings.logs / "node.log",
        )
        wait_for(
            "the node's namespaces",
            lambda: ready.exists() or not outer.alive(),
            seconds=20,
            hint=f"See {settings.logs / 'node.log'}",
        )
        inner = outer.child()
        if not inner:
            raise ClusterError(
                "this machine does not allow new namespaces (a container without privileges?): "
                f"see {settings.logs / 'node.log'}; use FLOW_TEST_KUBECONFIG or Docker instead"
            )
        inner.write(self._record)
        self._plug_in(inner.pid)
        self._make_control_groups()

    def destroy(self) -> None:
        """End process 1, and with it all that runs and is mounted in the node."""
        if init := self.init():
            init.end(grace=0)
        with contextlib.suppress(ClusterError):
            run([_program("ip"), "link", "delete", self.settings.link])
        for root in _control_groups():
            _remove_control_group(root / self.settings.cgroup)
        for folder in PRIVATE_FOLDERS:
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
        shutil.rmtree(self.settings.run, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.settings.run.parent.rmdir()

    def inside(self, command: Sequence[str | Path]) -> list[str]:
        """The command that runs another one within the node."""
        init = self.init()
        if not init:
            raise ClusterError("the cluster is down: `python -m tests.cluster up`")
        enter = ["nsenter", "--target", str(init.pid), "--mount", "--net", "--pid", "--uts", "--"]
        return [*enter, *map(str, command)]

    def start(self, name: str, command: Sequence[str | Path]) -> None:
        """Start a daemon within the node, unless it runs."""
        if not self.running(name):
            process = spawn(self.inside(command), self.settings.logs / f"{name}.log")
            process.write(self.settings.run / f"{name}.pid")

    def running(self, name: str) -> bool:
        """Whether the daemon of that name runs."""
        return Process.read(self.settings.run / f"{name}.pid") is not None

    def stop(self, name: str, grace: float = 10) -> None:
        """Stop a daemon, unless it is stopped."""
        if process := Process.read(self.settings.run / f"{name}.pid"):
            process.end(grace=grace, inner=True)

    def _plug_in(self, pid: int) -> None:
        settings, ip = self.settings, str(_program("ip"))
        run(
            [
                ip,
                "link",
                "add",
                settings.link,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                str(pid),
            ]
        )
        run([ip, "address", "add", f"{settings.host_ip}/30", "dev", settings.link])
        run([ip, "link", "set", settings.link, "up"])
        for words in (
            ["link", "set", "lo", "up"],
            ["address", "add", f"{settings.node_ip}/30", "dev", "eth0"],
            ["link", "set", "eth0", "up"],
            ["route", "add", "default", "via", settings.host_ip],
        ):
            run(self.inside([ip, *words]))
        for cidr in (settings.pod_cidr, settings.service_cidr):
            run([ip, "route", "add", cidr, "via", settings.node_ip])

    def _make_control_groups(self) -> None:
        for root in _control_groups():
            group = root / self.settings.cgroup
            group.mkdir(exist_ok=True)
            for name in ("cpuset.cpus", "cpuset.mems"):
                # Version 1 starts a group with no processor; nothing may join it then.
                if (group / name).exists() and not (root / "cgroup.controllers").exists():
                    (group / name).write_text((root / name).read_text())


def _control_groups() -> list[Path]:
    """The root of each control group hierarchy."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [Path(words[1]) for words in mounts if words[2] in {"cgroup", "cgroup2"}]


def _remove_control_group(group: Path) -> None:
    folders = [path for path in group.rglob("*") if path.is_dir()] if group.exists() else []
    for folder in [*sorted(folders, reverse=True), *([group] if group.exists() else [])]:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _program(name: str) -> Path:
    return find(name) or Path(name)
