"""Progress lines with durations, and errors that say what to do."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_LONGEST_COMMAND = 160


class ClusterError(Exception):
    """The harness cannot go on. The message says what failed and what to do about it."""


def say(text: str) -> None:
    """Print one progress line; standard output is kept for a command's answer."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(what: str) -> Iterator[None]:
    """Announce a slow step, and how long it took."""
    started = time.monotonic()
    say(f"{what} …")
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str | None = None,
    log: Path | None = None,
) -> str:
    """Run a command and return its standard output.

    Args:
        command: Program and arguments.
        env: The whole environment, where not the caller's.
        cwd: The folder to run in.
        stdin: What to feed it.
        log: Append the output there instead of returning it.

    Raises:
        ClusterError: It exited non-zero; the message ends with its last output lines.
    """
    words = [str(word) for word in command]
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("a")) if log else subprocess.PIPE
        try:
            done = subprocess.run(
                words,
                env=env,
                cwd=cwd,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=sink,
                stderr=subprocess.STDOUT if log else subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
        except FileNotFoundError as missing:
            raise ClusterError(f"{words[0]} is not on PATH") from missing
    if done.returncode:
        output = log.read_text(errors="replace") if log else f"{done.stdout}{done.stderr}"
        tail = "\n".join(output.strip().splitlines()[-20:])
        where = f" (whole log: {log})" if log else ""
        shown = " ".join(words)
        shown = shown if len(shown) < _LONGEST_COMMAND else f"{shown[:_LONGEST_COMMAND]}…"
        raise ClusterError(f"`{shown}` exited {done.returncode}{where}:\n{tail}")
    return done.stdout or ""


def wait_for(what: str, ready: object, *, seconds: float, hint: str = "") -> None:
    """Call `ready` until it returns something true.

    Raises:
        ClusterError: It never did; `hint` tells where to look.
    """
    if not callable(ready):
        raise TypeError("ready must be callable")
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise ClusterError(f"{what}: not after {seconds:.0f} s. {hint}".rstrip())
        time.sleep(0.1)
