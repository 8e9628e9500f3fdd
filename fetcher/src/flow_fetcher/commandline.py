"""The command line's arguments."""

from __future__ import annotations

from pathlib import Path

from flow_fetcher import __version__
from flow_fetcher.record import Record

_PATHS = {
    "--plan": "the plan, JSON (plan.json)",
    "--credentials": "the mounted Secret, one file for each key; it may be missing",
    "--volume": "the run's volume (/flow)",
    "--termination-log": "where the termination message goes (/dev/termination-log)",
}
_OPTIONAL = frozenset({"--credentials"})


class Options(Record):
    """What `flow-fetcher fetch` is told; `docs/contracts.md` says what lies at these paths."""

    plan: Path
    volume: Path
    termination_log: Path
    credentials: Path | None = None


def parse(arguments: list[str]) -> Options:
    """Read the arguments; errors and requests for help end the process.

    What the operator writes, pairs of option and path, needs no parser: importing `argparse` alone
    takes 8 ms.
    """
    names, values = arguments[1::2], arguments[2::2]
    paths = dict(zip(names, values, strict=False))
    exact = arguments[:1] == ["fetch"] and len(names) == len(values) == len(paths)
    if not exact or not _PATHS.keys() - _OPTIONAL <= paths.keys() <= _PATHS.keys():
        paths = _parse_any(arguments)
    return Options(**{_field(name): Path(path) for name, path in paths.items()})


def _parse_any(arguments: list[str]) -> dict[str, str]:
    import argparse

    parser = argparse.ArgumentParser(
        prog="flow-fetcher",
        description="Fetches the code of a run into its volume. The init container of every run.",
    )
    parser.add_argument("--version", action="version", version=f"flow-fetcher {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "fetch",
        help="carry out one plan",
        description="Carries out one plan. Exits 0 when the tree is in place, 1 otherwise; the "
        "termination message says what happened.",
        epilog="FLOW_LOG_LEVEL=debug in the environment makes the log say more.",
    )
    for name, text in _PATHS.items():
        kind = "DIR" if name in ("--credentials", "--volume") else "FILE"
        command.add_argument(name, required=name not in _OPTIONAL, metavar=kind, help=text)
    options = parser.parse_args(arguments)
    given = {name: getattr(options, _field(name)) for name in _PATHS}
    return {name: path for name, path in given.items() if path is not None}


def _field(name: str) -> str:
    return name.removeprefix("--").replace("-", "_")
