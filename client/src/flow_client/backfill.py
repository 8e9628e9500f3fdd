"""`kubectl flow backfill`: from a schedule and a window of the past to FlowRuns, as YAML."""

import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import yaml

from flow_client.errors import ClientError
from flow_client.objects import Manifest, Objects, read_objects
from flow_operator.api.v1alpha1 import FlowDeployment
from flow_operator.core.backfill import backfill_runs
from flow_operator.core.durations import parse_moment

WRONG = 2
"""Exit code when the files or options are wrong."""


def print_backfill(
    files: Iterable[str], name: str | None, schedule: str | None, window: tuple[str, str]
) -> int:
    """Print a FlowRun for each tick of the window; return the exit code of the command.

    Args:
        files: Files with the FlowDeployment, as written or as `kubectl get -o yaml` prints it.
        name: Name of the FlowDeployment, if the files have several.
        schedule: Name of its schedule, if it has several.
        window: The first moment, and the first one after; RFC 3339.
    """
    try:
        deployment = FlowDeployment.model_validate(_find(read_objects(files), name))
        start, end = (_moment(option, text) for option, text in zip(_WINDOW, window, strict=True))
        runs = backfill_runs(deployment, schedule or _only_schedule(deployment), start, end)
    except (ClientError, ValueError) as error:  # a TimetableError is one, too
        print(f"error: {error}", file=sys.stderr)
        return WRONG
    print("1 run" if len(runs) == 1 else f"{len(runs)} runs", file=sys.stderr)
    _print(runs)
    return 0


_WINDOW = ("--from", "--to")


def _find(objects: Objects, name: str | None) -> Manifest:
    found = [manifest for key, manifest in objects.deployments.items() if name in (None, key[1])]
    if not found:
        raise ClientError(
            f"there is no FlowDeployment{f' {name!r}' if name else ''} in the files given"
        )
    if len(found) > 1:
        names = sorted({manifest["metadata"]["name"] for manifest in found})
        raise ClientError(f"say which one: {', '.join(names)}")
    return found[0]


def _only_schedule(deployment: FlowDeployment) -> str:
    names = [schedule.name for schedule in deployment.spec.schedules or []]
    if len(names) != 1:
        raise ClientError(f"--schedule: say which one: {', '.join(names) or 'there is none'}")
    return names[0]


def _moment(option: str, text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as error:
        hint = "write it like 2026-11-20T00:00:00Z"
        raise ClientError(f"{option} {text}: {error}; {hint}") from None


def _print(runs: list[dict[str, Any]]) -> None:
    yaml.safe_dump_all(runs, sys.stdout, sort_keys=False, explicit_start=True)
