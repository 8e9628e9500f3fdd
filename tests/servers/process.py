"""A server that is a program: started on a free loopback port, waited for, and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self


class Process:
    """Runs while its `with` lasts; a subclass says which command.

    Args:
        host: The name in its URL.
        address: The address to bind.
    """

    def __init__(self, host: str = "localhost", address: str = "127.0.0.1") -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="flow-server-")
        self.folder = Path(self._directory.name)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = address
        self.host = host
        self.port = free_port(address)

    def command(self) -> Sequence[str]:
        """The command that listens on `address` and `port`."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """More variables for it."""
        return {}

    def __enter__(self) -> Self:
        log = self.folder / "log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=self.folder,
                env={**os.environ, **self.environment()},
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection((self.address, self.port), timeout=1).close()
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"{self} did not start:\n{log.read_text()}") from None
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._directory.cleanup()

    def stop(self) -> None:
        """End the process; a second time does nothing."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None


def free_port(address: str) -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
