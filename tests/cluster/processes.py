"""Long-lived child processes that outlive the command which started them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.console import ClusterError

_started: list[subprocess.Popen[bytes]] = []
"""Kept so that a process which ends while we run is reaped."""


@dataclass(frozen=True)
class Process:
    """A process, told from a later one that got the same number by its start time."""

    pid: int
    born: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has this number now."""
        return cls(pid, _stat(pid)[19])

    @classmethod
    def read(cls, file: Path) -> Process | None:
        """The process recorded in a file, if it is still alive."""
        try:
            process = cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return process if process.alive() else None

    def write(self, file: Path) -> None:
        """Record it for a later command."""
        file.write_text(json.dumps({"pid": self.pid, "born": self.born}))

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        for child in _started:
            child.poll()
        try:
            stat = _stat(self.pid)
        except OSError:
            return False
        return stat[19] == self.born and stat[0] != "Z"

    def child(self) -> Process | None:
        """Its one child: what `nsenter` and `unshare` run for us."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if int(_stat(int(entry.name))[1]) == self.pid:
                        return Process.of(int(entry.name))
                except OSError:
                    continue
        return None

    def end(self, *, grace: float, inner: bool = False) -> None:
        """Ask it to stop, then make it.

        Args:
            grace: Seconds between SIGTERM and SIGKILL.
            inner: Signal its child instead; it ends when the child does.
        """
        target = (self.child() if inner else None) or self
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            deadline = time.monotonic() + patience
            if self.alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(target.pid, number)
            while self.alive() and time.monotonic() < deadline:
                time.sleep(0.05)
            if not self.alive():
                return
        raise ClusterError(f"process {self.pid} does not end, not even by SIGKILL")


def spawn(command: Sequence[str | Path], log: Path) -> Process:
    """Start a process in a session of its own, its output appended to a log file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
        )
    _started.append(child)
    return Process.of(child.pid)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()
