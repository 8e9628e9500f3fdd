"""The log of the containers before the code: kept back, but for warnings while they are news."""

import os
import re
import threading
from collections.abc import Callable

_WARNING = re.compile(r"\S+Z WARN +(.*)")


class FetchLog:
    """A pipe to write to; what comes through it is kept in `lines`.

    Args:
        warn: Gets the text of each line of level WARN, as it comes.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self._warn = warn
        read_end, self.write_end = os.pipe()
        self._thread = threading.Thread(target=self._read, args=[read_end], daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for what was written last."""
        os.close(self.write_end)
        self._thread.join(timeout=1)

    def _read(self, read_end: int) -> None:
        with os.fdopen(read_end, encoding="utf-8", errors="replace") as pipe:
            for line in pipe:
                self.lines.append(line.rstrip("\n"))
                if match := _WARNING.match(line):
                    self._warn(match[1])
