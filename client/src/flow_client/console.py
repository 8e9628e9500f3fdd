"""What a person sees of a local run: one line a stage, and for a failure why and what to do."""

import json
import re
import shlex
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from flow_client.objects import Manifest
from flow_operator.api.v1alpha1 import FlowDeploymentSpec
from flow_operator.core.job import FETCH

_INDENT = 13
_LOGS_HINT = re.compile(r"\s*[^.:]+: kubectl logs \S+ -c \S+")
"""Where the operator points to for the log; here that has just been printed."""


class Stages:
    """Prints the stages of a run as they happen, to standard error."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phase: str | None = None
        self._since = time.monotonic()

    def note(self, text: str) -> None:
        """Say something that may surprise otherwise."""
        self._line("Note", "yellow", Text(text))

    def show(self, run: Manifest, pod: Manifest, log: Sequence[str] = ()) -> None:
        """Print what has changed since the last call.

        Args:
            run: The FlowRun with its status.
            pod: Its Pod.
            log: What the fetch has printed, for when it ends without a message.
        """
        status = run.get("status", {})
        phase, attempts = status.get("phase"), status.get("attempts") or [{}]
        if phase == self._phase:
            return
        spec = FlowDeploymentSpec.model_validate(status["resolvedSpec"])
        seconds, self._since = time.monotonic() - self._since, time.monotonic()
        if phase == "Fetching":
            self._line("Fetching", "cyan", Text(spec.source.summary()))
        fetch = _fetch_message(pod)
        if self._phase == "Fetching" and fetch.get("reason") == "Succeeded":
            self._fetched(attempts[-1], fetch, seconds)
        if phase == "Running":
            what = spec.entrypoint or shlex.join(spec.command or [])
            self._line("Running", "cyan", Text(what if len(what) <= 80 else what[:79] + "…"))
        elif phase == "Succeeded":
            self._succeeded(status, seconds)
        elif phase == "Cancelled":
            self._line(phase, "yellow", Text(f"after {seconds:.2f}s"))
        elif phase == "Failed":
            if self._phase == "Fetching" and not fetch:
                self._console.print("\n".join(log), markup=False, soft_wrap=True)
            self._failed(status, fetch, seconds)
        self._phase = phase

    def _fetched(self, attempt: Manifest, fetch: dict[str, Any], seconds: float) -> None:
        size = _size(fetch)
        taken = attempt.get("seconds", {}).get("fetch", seconds)
        rest = f"{size and f', {size}'}, in {taken:.2f}s"
        self._line("Fetched", "green", Text.assemble((attempt.get("revision", ""), "bold"), rest))

    def _succeeded(self, status: Manifest, seconds: float) -> None:
        line = Text(f"in {seconds:.2f}s")
        if "result" in status:
            line.append(f", result {json.dumps(status['result'], ensure_ascii=False)}")
        self._line("Succeeded", "green", line)

    def _failed(self, status: Manifest, fetch: dict[str, Any], seconds: float) -> None:
        condition = next(found for found in status["conditions"] if found["type"] == "Succeeded")
        line = Text.assemble((condition["reason"], "bold"), f" after {seconds:.2f}s")
        if fetch.get("reason") != "Succeeded" and "revision" in status:
            line.append(f", at {status['revision']}")
        self._line("Failed", "red", line)
        message = _LOGS_HINT.sub("", condition["message"])
        remedy = fetch.get("remedy")
        if isinstance(remedy, str) and remedy and message.endswith(remedy):
            self._paragraph(message.removesuffix(remedy))
            message = remedy
        self._paragraph(message)

    def _paragraph(self, text: str) -> None:
        sentence = text.strip()
        if not self._console.is_terminal:
            self._console.print(" " * _INDENT + sentence, markup=False, soft_wrap=True)
        else:
            self._console.print(Padding(Text(sentence), (0, 0, 0, _INDENT), expand=False))

    def _line(self, label: str, color: str, text: Text) -> None:
        start = (label.rjust(_INDENT - 1) + " ", f"bold {color}")
        self._console.print(Text.assemble(start, text), soft_wrap=True)


def _fetch_message(pod: Manifest) -> dict[str, Any]:
    """Return what the fetcher has said, if it has and if it can be read."""
    for entry in pod.get("status", {}).get("initContainerStatuses") or []:
        if entry["name"] == FETCH:
            try:
                message = json.loads(entry["state"]["terminated"]["message"])
            except (KeyError, ValueError):
                return {}
            return message if isinstance(message, dict) else {}
    return {}


def _size(message: dict[str, Any]) -> str:
    """Return how much was fetched, as far as that was said."""
    try:
        files, size = int(message["files"]), float(message["bytes"])
    except (KeyError, TypeError, ValueError):
        return ""
    return f"{files} file{'s' if files != 1 else ''}, {_bytes(size)}"


def _bytes(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
