"""What processes take: processor time and memory, as the kernel counts them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.places import BenchError

_TICK = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """Bytes of one process.

    Attributes:
        rss: Resident, shared pages included.
        pss: Resident, shared pages divided by how many share them.
        peak: The largest `rss` so far.
    """

    rss: int
    pss: int
    peak: int


def cpu(pid: int) -> float:
    """Processor seconds of a process so far, all threads, without children."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError as error:
        raise BenchError(f"process {pid} is gone") from error
    fields = text[text.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory(pid: int) -> Memory:
    """What a process has in memory now."""
    try:
        rollup = _fields(Path(f"/proc/{pid}/smaps_rollup"))
        status = _fields(Path(f"/proc/{pid}/status"))
    except OSError as error:
        raise BenchError(f"process {pid} is gone") from error
    return Memory(rollup["Rss"], rollup["Pss"], status["VmHWM"])


class Meter:
    """Processor seconds of some processes from now on."""

    def __init__(self, pids: dict[str, int]) -> None:
        self._pids = pids
        self._before = {name: cpu(pid) for name, pid in pids.items()}
        self._began = time.monotonic()

    def read(self) -> dict[str, float]:
        """Processor seconds of each since the meter was made."""
        return {name: cpu(pid) - self._before[name] for name, pid in self._pids.items()}

    def elapsed(self) -> float:
        """Seconds since the meter was made."""
        return time.monotonic() - self._began


def _fields(file: Path) -> dict[str, int]:
    """Lines such as `Rss:  12 kB`, in bytes."""
    found = {}
    for line in file.read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            found[name] = int(words[0]) * 1024
    return found
