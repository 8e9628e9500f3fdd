"""Runs one program to its end: how long it took, what it cost, and in another run how much memory.

A timed run does nothing beside the program: the kernel counts its processor time, that of its
children included. Memory is sampled in a run of its own, for that costs time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.places import BenchError

_TIMEOUT = 600.0
_SAMPLING = 0.002
_LAST_LINES = 15


@dataclass(frozen=True)
class Command:
    """A program with its arguments, whole environment and working directory."""

    argv: Sequence[str | Path]
    env: Mapping[str, str]
    cwd: Path


@dataclass(frozen=True)
class Sample:
    """One timed run: wall and processor seconds, children included."""

    wall: float
    cpu: float


def timed(command: Command) -> Sample:
    """Run a program and time it.

    Raises:
        BenchError: It failed, or took too long.
    """
    with tempfile.TemporaryFile() as output:
        start = time.perf_counter()
        process = _start(command, output.fileno())
        killer = threading.Timer(_TIMEOUT, _kill, (process.pid,))
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        _check(command, process.returncode, output)
    return Sample(wall, usage.ru_utime + usage.ru_stime)


def peak_memory(command: Command) -> int:
    """Run a program; the largest number of bytes that it and its children had resident at once.

    The kernel's own high-water mark of each process is taken, and the sum over the tree of
    processes where several run at the same time (shared pages count in each).
    """
    peak = 0
    with tempfile.TemporaryFile() as output:
        process = _start(command, output.fileno())
        deadline = time.monotonic() + _TIMEOUT
        while process.poll() is None:
            if time.monotonic() > deadline:
                _kill(process.pid)
            peak = max(peak, _resident(process.pid))
            time.sleep(_SAMPLING)
        _check(command, process.returncode, output)
    return peak


def _start(command: Command, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(word) for word in command.argv],
        env=dict(command.env),
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _check(command: Command, code: int, output: object) -> None:
    if code == 0:
        return
    output.seek(0)  # type: ignore[attr-defined]
    lines = output.read().decode(errors="replace").splitlines()  # type: ignore[attr-defined]
    tail = "\n  ".join(lines[-_LAST_LINES:])
    shown = " ".join(map(str, command.argv))
    raise BenchError(f"`{shown}` exited {code}:\n  {tail}")


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _resident(pid: int) -> int:
    """What a process and its descendants have in memory now, or the largest of them had."""
    total = highest = 0
    todo = [pid]
    while todo:
        each = todo.pop()
        try:
            fields = _memory_fields(each)
            for task in os.listdir(f"/proc/{each}/task"):
                children = Path(f"/proc/{each}/task/{task}/children").read_text()
                todo += [int(child) for child in children.split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += fields.get("VmRSS", 0)
        highest = max(highest, fields.get("VmHWM", 0))
    return max(total, highest)


def _memory_fields(pid: int) -> dict[str, int]:
    fields = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            fields[name] = int(value.split()[0]) * 1024
    return fields
