"""Waits for a process and for whoever wants to stop it, whatever comes first."""

import os
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Literal

End = Literal["exited", "expired", "stopped"]


class Control:
    """Stops a Pod from outside: a first time with SIGTERM and the grace period, then at once."""

    def __init__(self) -> None:
        self.requested = False
        # `SimpleQueue` may be put into from a signal handler.
        self._events: queue.SimpleQueue[subprocess.Popen[bytes] | None] = queue.SimpleQueue()

    def stop(self) -> None:
        """Ask for the end. Safe in signal handlers and threads."""
        self.requested = True
        self._events.put(None)

    def wait(
        self, process: subprocess.Popen[bytes], *, deadline: float | None, grace: float
    ) -> End:
        """Wait until the process has ended by itself, by its deadline, or because of `stop`.

        Args:
            process: Leader of its own process group, which dies with it.
            deadline: When it must have ended, by `time.monotonic`.
            grace: Seconds between SIGTERM and SIGKILL.
        """
        threading.Thread(target=self._report, args=[process], daemon=True).start()
        end: End = "exited"
        alarm = deadline
        while True:
            timeout = None if alarm is None else max(alarm - time.monotonic(), 0)
            try:
                event = self._events.get(timeout=timeout)
            except queue.Empty:
                cause: End = "expired"
            else:
                if event is process:
                    break
                if event is not None:
                    continue
                cause = "stopped"
            if end == "exited":
                end = cause
                process.terminate()
                alarm = time.monotonic() + grace
            else:
                _kill(process)
                alarm = None
        _kill(process)  # what it has left behind; a container's processes die with its first
        return end

    def _report(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._events.put(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
