"""Log lines for people, redacted and flushed; durations of stages; progress on long work."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from flow_fetcher.redact import Redactor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

_PROGRESS_SECONDS = 5.0


class Log:
    """Writes lines; everything passes the redactor.

    Args:
        redactor: Knows the credentials.
        stream: Where the lines go; standard error by default.
        debug: Whether debug lines are written.
    """

    def __init__(
        self, redactor: Redactor, *, stream: TextIO | None = None, debug: bool = False
    ) -> None:
        self._redactor = redactor
        self._stream = stream or sys.stderr
        self._debug = debug

    def info(self, text: str) -> None:
        """Say what happens."""
        self._write("INFO", text)

    def warning(self, text: str) -> None:
        """Say what the user may want to change."""
        self._write("WARN", text)

    def error(self, text: str) -> None:
        """Say what went wrong."""
        self._write("ERROR", text)

    def debug(self, text: str) -> None:
        """Say what only a developer wants to know."""
        if self._debug:
            self._write("DEBUG", text)

    def _write(self, level: str, text: str) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        # A line break in foreign text must not look like a line of ours.
        lines = self._redactor(text).rstrip().replace("\n", "\n    ")
        line = f"{now} {level:<5} {lines}\n"
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(line.encode(encoding, "backslashreplace").decode(encoding))
        self._stream.flush()


class Report:
    """What is known of a fetch so far: how long its stages took, and the revision once it is."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._seconds: dict[str, float] = {}
        self.revision: str | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure a stage; one that is entered again adds up."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.monotonic() - start

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._start

    def seconds(self) -> dict[str, float]:
        """Every stage, and the total."""
        return {**self._seconds, "total": self.elapsed}


class Progress:
    """Says every few seconds how far the work is; to be told of every step."""

    def __init__(self, log: Log, every: float = _PROGRESS_SECONDS) -> None:
        self._log = log
        self._every = every
        self._next = time.monotonic() + every
        self._files = 0
        self._size = 0
        self._received = 0

    def written(self, files: int, size: int) -> None:
        """So much is written by now."""
        self._files, self._size = files, size
        self._tell()

    def received(self, size: int) -> None:
        """So many more bytes came from the network."""
        self._received += size
        self._tell()

    def _tell(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._every
            received = f"{human_size(self._received)} received, " if self._received else ""
            self._log.info(
                f"fetching: {received}{self._files} files with {human_size(self._size)} written"
            )


def human_size(size: float) -> str:
    """A number of bytes as people read it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
