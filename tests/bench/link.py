"""A simulated network before a server: delays what passes, and counts it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Self

from tests.bench import build


@dataclass(frozen=True)
class Traffic:
    """What has passed: bytes from and to the client, HTTP requests, TCP connections."""

    connections: int
    requests: int
    sent: int
    received: int


class Link:
    """Runs while its `with` lasts; `port` leads to the server.

    Args:
        port: Where the server listens on loopback.
        round_trip: Seconds; a new connection costs one more for its handshake.
    """

    def __init__(self, port: int, round_trip: float = 0.0) -> None:
        command = [build.program("link"), "-target", f"127.0.0.1:{port}"]
        self._command = [*command, "-round-trip", f"{round(round_trip * 1e6)}us"]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._line().rpartition(":")[2])
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def passed(self) -> Traffic:
        """What has passed since this was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Traffic(**json.loads(self._line()))

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
