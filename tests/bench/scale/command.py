"""`python -m tests.bench scale`: the command line of the scale benches."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

from tests.bench import tables
from tests.bench.places import BenchError
from tests.bench.scale import failover, latency, load, report, soak, standing, storm
from tests.bench.scale.api import Api
from tests.bench.scale.bench import Options, control_plane, say
from tests.bench.scale.figures import Section
from tests.bench.scale.load import Loaded
from tests.bench.scale.operators import OPERATOR, Build
from tests.bench.scale.plane import Plane

ALONE: dict[str, Callable[[Options], Coroutine[Any, Any, Section]]] = {
    "storm": storm.measure,
    "latency": latency.measure,
    "soak": soak.measure,
}
"""Each with a control plane of its own."""

LOADED: dict[str, Callable[[Plane, Api, Options, Loaded], Coroutine[Any, Any, Section]]] = {
    "standing": standing.measure,
    "failover": failover.measure,
}
"""On one control plane that is loaded once."""

BENCHES = (*ALONE, *LOADED)


def add(commands: Any) -> None:
    """Add the command to the bench's."""
    parser = commands.add_parser(
        "scale", help="the operator: storms, 10,000 deployments, failover, latency, soak"
    )
    parser.set_defaults(function=run)
    parser.add_argument("bench", nargs="*", metavar="|".join(BENCHES), help="all unless given")
    parser.add_argument("--quick", action="store_true", help="small; the figures mean nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help="of the storm and the failover")
    parser.add_argument("--count", type=int, metavar="N", help="how many deployments")
    parser.add_argument("--minutes", type=float, metavar="N", help="of the soak (default 10)")
    parser.add_argument(
        "--peers", default="", metavar="NAME,…", help="only these of the storm's controllers"
    )
    parser.add_argument(
        "--operator", type=Path, default=OPERATOR, metavar="DIR", help="that of this distribution"
    )
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="for the operator"
    )
    parser.add_argument(
        "--profile", type=Path, metavar="DIR", help="profile the operator; it is slower then"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write all figures as JSON")
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="replace the tables in this Markdown file"
    )


def run(options: argparse.Namespace) -> int:
    """Run the benches that were asked for; 1 when one of them could not end."""
    if unknown := [name for name in options.bench if name not in BENCHES]:
        raise BenchError(f"no bench {unknown[0]!r}; there are: {', '.join(BENCHES)}")
    # As Ctrl-C, which asyncio turns into an orderly end: nothing is left running.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    build = Build(
        options.operator.resolve(),
        dict(word.split("=", 1) for word in options.env),
        options.profile.resolve() if options.profile else None,
    )
    chosen = Options(
        build=build,
        quick=options.quick,
        rounds=options.rounds,
        count=options.count,
        minutes=options.minutes,
        peers=tuple(filter(None, options.peers.split(","))),
    )
    progress = _Report(options, build)
    wanted = options.bench or BENCHES
    for name, measure in ALONE.items():
        if name in wanted:
            with progress.guarded(name):
                progress.add(asyncio.run(measure(chosen)))
    if loaded := [name for name in LOADED if name in wanted]:
        with progress.guarded(" and ".join(loaded)):
            asyncio.run(_loaded(chosen, loaded, progress))
    for failure in progress.failures:
        print(f"bench: error: {failure}", file=sys.stderr)
    return 1 if progress.failures else 0


async def _loaded(options: Options, names: list[str], progress: _Report) -> None:
    async with control_plane() as (plane, api):
        loaded = await load.make(plane, api, options)
        for name in names:
            with progress.guarded(name):
                progress.add(await LOADED[name](plane, api, options, loaded))


class _Report:
    """Says what was found as soon as it is."""

    def __init__(self, options: argparse.Namespace, build: Build) -> None:
        self.failures: list[str] = []
        self._sections: list[Section] = []
        self._options = options
        self._build = build

    def add(self, section: Section) -> None:
        """Print a section, and write it where it was asked for."""
        self._sections.append(section)
        head = report.header(self._build.distribution)
        print(report.text(section, head, markdown=False), flush=True)
        if file := self._options.document:
            tables.insert(file, f"scale-{section.name}", report.text(section, head, markdown=True))
        if file := self._options.output:  # after each, so that a later one cannot lose it
            found = report.document(self._sections, head)
            file.write_text(json.dumps(found, indent=1) + "\n")

    @contextlib.contextmanager
    def guarded(self, name: str) -> Iterator[None]:
        """Go on with the next bench when one cannot end."""
        try:
            yield
        except (BenchError, BaseExceptionGroup) as error:
            self.failures.append(f"{name}: {_cause(error)}")
            say(self.failures[-1])


def _cause(error: BaseException) -> BaseException:
    """The bench's own error in a group of groups; whatever else there is goes on."""
    if isinstance(error, BaseExceptionGroup):
        _, others = error.split(BenchError)
        if others:
            raise others
        return _cause(error.exceptions[0])
    return error
