"""How long the fetcher takes from its start to its first byte on the network, and how large it is.

A server that accepts one connection notes when the first byte arrives; what an interpreter takes
that does nothing is measured in the same rounds.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench import build, clients, tables
from tests.bench.clients import Job
from tests.bench.places import BenchError
from tests.bench.process import Command, timed

GOAL = 0.040
"""Seconds beyond `python -I -c pass`."""
LAYERS_GOAL = 35_000_000
"""Compressed bytes over the base image."""

_TIMEOUT = 30.0
_KEYS = {"AWS_ACCESS_KEY_ID": "A" * 20, "AWS_SECRET_ACCESS_KEY": "s" * 40}
_COMMIT = "1" * 40


@dataclass(frozen=True)
class Start:
    """Seconds to the first byte, in each round."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)


def _sources() -> dict[str, tuple[Callable[[Job], dict[str, Any]], Mapping[str, str]]]:
    def git(job: Job) -> dict[str, Any]:
        return {"type": "git", "git": {"url": f"{job.endpoint}/f.git", "ref": {"commit": _COMMIT}}}

    def encrypted(job: Job) -> dict[str, Any]:
        url = f"{job.endpoint.replace('http:', 'https:')}/f.git"
        return {"type": "git", "git": {"url": url, "ref": {"commit": _COMMIT}}}

    def s3(job: Job) -> dict[str, Any]:
        s3 = {"bucket": "flows", "prefix": "a", "endpoint": job.endpoint, "insecure": True}
        return {"type": "s3", "s3": s3}

    return {"git, http": (git, {}), "git, https": (encrypted, {}), "s3": (s3, _KEYS)}


def measure(*, repeats: int, room: Path, current: Path, other: Path | None = None) -> list[Start]:
    """Measure the bare interpreter and each kind of source, in turn.

    Args:
        repeats: How many rounds.
        room: Where the volumes go.
        current: The distribution of the fetcher that is judged.
        other: That of another work tree, to compare two versions.

    Raises:
        BenchError: The fetcher ended, or did not call within half a minute.
    """
    room = room / f"flow-bench-{os.getpid()}"
    versions = {"": current, "other ": other} if other else {"": current}
    measured: dict[str, list[float]] = {"python -I -c pass": []}
    try:
        with ExitStack() as stack:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            server.settimeout(_TIMEOUT)
            for number in range(repeats + 1):
                found = {"python -I -c pass": _bare(room, current)}
                for prefix, distribution in versions.items():
                    for kind, (source, secret) in _sources().items():
                        client = clients.fetcher(source, secret, distribution)
                        job = Job(clients.clear(room), server.getsockname()[1])
                        found[prefix + kind] = _first_byte(client.command(job), server)
                if number:  # the first round warms the caches
                    for name, seconds in found.items():
                        measured.setdefault(name, []).append(seconds)
    finally:
        clients.clear(room).rmdir()
    return [Start(name, seconds) for name, seconds in measured.items()]


def layers(current: Path) -> int:
    """The compressed size of what the image has over its base: the virtual environment."""
    folder = build.fetcher(current).parents[1]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as tar:
        tar.add(folder, "opt/flow")
    return len(buffer.getvalue())


def table(starts: list[Start], size: int, *, markdown: bool) -> str:
    """What was measured, beside the goals."""
    bare = starts[0].median
    rows: list[tables.Row] = [
        ("", "ms", "lowest-highest", "beyond bare", "of the lowest", "goal", "")
    ]
    for start in starts:
        beyond = start.median - bare
        ours = start is not starts[0]
        rows.append(
            (
                start.name,
                f"{start.median * 1000:.1f}",
                f"{min(start.seconds) * 1000:.1f}-{max(start.seconds) * 1000:.1f}",
                f"{beyond * 1000:.1f}" if ours else "",
                f"{(min(start.seconds) - min(starts[0].seconds)) * 1000:.1f}" if ours else "",
                f"{GOAL * 1000:.0f}" if ours else "",
                ("pass" if beyond <= GOAL else tables.MISS) if ours else "",
            )
        )
    mark = "pass" if size <= LAYERS_GOAL else "MISS"
    sentence = f"Layers over the base image: {size / 1e6:.1f} MB compressed, "
    sentence += f"goal {LAYERS_GOAL / 1e6:.0f} MB: {mark}"
    return f"{tables.draw(rows, markdown=markdown)}\n\n{sentence}\n"


def _bare(room: Path, current: Path) -> float:
    job = Job(clients.clear(room), 0)
    return timed(job.command(build.fetcher(current), "-I", "-c", "pass")).wall


def _first_byte(command: Command, server: socket.socket) -> float:
    start = time.perf_counter()
    with subprocess.Popen(
        [str(word) for word in command.argv],
        env=dict(command.env),
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(_TIMEOUT)
                if not connection.recv(1):
                    raise BenchError("the fetcher connected and sent nothing")
                return time.perf_counter() - start
        except TimeoutError:
            raise BenchError("the fetcher did not connect") from None
        finally:
            process.kill()
