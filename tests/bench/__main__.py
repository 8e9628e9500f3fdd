"""`python -m tests.bench`: measure fetcher and operator beside their peers."""

from __future__ import annotations

import argparse
import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import report, run, startup, tables
from tests.bench.build import FETCHER
from tests.bench.cases import GROUPS, Cases
from tests.bench.fetch import Measured, measure
from tests.bench.places import BenchError, room
from tests.bench.scale import command as scale
from tests.cluster import ClusterError


def _fetch(options: argparse.Namespace) -> int:
    if options.document and options.case:
        raise BenchError("--document takes whole groups: use --only instead of --case")
    peers = options.peers.split(",") if options.peers else []
    repeats = options.repeats or (2 if options.quick else 5)
    every: list[Measured] = []
    with Cases(quick=options.quick, current=options.fetcher, other=options.other) as cases:
        for group in options.only or cases.groups():
            chosen = cases.select(group, options.case or [])
            found = measure(chosen, repeats=repeats, peers=peers, room=options.room)
            if found:
                _print(options, repeats, f"fetch-{group}", functools.partial(report.table, found))
            every += found
            if options.output:  # after each group, so that a later one cannot lose it
                document = report.document(every, options.room, options.fetcher)
                text = json.dumps(document, indent=1, ensure_ascii=False)
                options.output.write_text(text + "\n")
    if not every:
        raise BenchError("no case has such a name")
    return 0


def _startup(options: argparse.Namespace) -> int:
    starts = startup.measure(
        repeats=options.repeats, room=options.room, current=options.fetcher, other=options.other
    )
    size = startup.layers(options.fetcher)

    table = functools.partial(startup.table, starts, size)
    _print(options, options.repeats, "startup", table)
    return 0


def _run(options: argparse.Namespace) -> int:
    try:
        found = run.measure(pairs=options.repeats, say=lambda text: print(f"bench: {text}"))
    except ClusterError as error:
        raise BenchError(str(error)) from error
    _print(options, options.repeats, "run", functools.partial(run.table, found))
    return 0


def _print(options: argparse.Namespace, repeats: int, name: str, table: Callable[..., str]) -> None:
    """Print the table, and put it into its place in the documentation where that is asked for."""
    header = {**report.header(options.room, options.fetcher), "rounds": str(repeats)}
    if options.document:
        lines = "".join(f"- {key}: {value}\n" for key, value in header.items())
        tables.insert(options.document, name, f"{lines}\n{table(markdown=True)}")
    print("".join(f"{key:9} {value}\n" for key, value in header.items()))
    print(table(markdown=False), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures fetcher and operator beside their peers, on real servers on this "
        "machine. What it needs is installed on first use, into the cache.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", help="whole fetches: wall, CPU, memory, traffic")
    fetch.set_defaults(function=_fetch)
    fetch.add_argument("--quick", action="store_true", help="small cases, two rounds")
    fetch.add_argument("--only", action="append", choices=GROUPS, help="may be given again")
    fetch.add_argument("--case", action="append", help="one case by name; may be given again")
    fetch.add_argument("--repeats", type=int, metavar="N", help="rounds (default 5, quick 2)")
    fetch.add_argument("--peers", metavar="NAME,…", help="run only these beside the fetcher")
    fetch.add_argument("--output", type=Path, metavar="FILE", help="write all figures as JSON")
    start = commands.add_parser("startup", help="time to the first network byte, size of the image")
    start.set_defaults(function=_startup)
    start.add_argument("--repeats", type=int, default=20, metavar="N", help="default 20")
    whole = commands.add_parser("run", help="whole runs on the test cluster, from Job to code")
    whole.set_defaults(function=_run, room=None, fetcher=FETCHER)
    whole.add_argument("--repeats", type=int, default=10, metavar="N", help="pairs (default 10)")
    scale.add(commands)
    for command in (fetch, start, whole):
        command.add_argument(
            "--document", type=Path, metavar="FILE", help="replace its tables in this Markdown file"
        )
    for command in (fetch, start):
        command.add_argument(
            "--room", type=Path, metavar="DIR", default=room(), help="where trees go (%(default)s)"
        )
        command.add_argument(
            "--fetcher", type=Path, metavar="DIR", default=FETCHER, help="that of this distribution"
        )
        command.add_argument(
            "--other", type=Path, metavar="DIR", help="also run the fetcher of this distribution"
        )
    return parser


def main() -> int:
    """Run the command line; the process's exit code."""
    options = _parser().parse_args()
    try:
        return int(options.function(options))
    except BenchError as error:
        print(f"bench: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("bench: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
