"""`python -m tests.fuzz`: fuzz the fetcher, replay an input, or write the seeds."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from pathlib import Path

from tests.fuzz.campaign import campaign, line
from tests.fuzz.environment import cache, copy_source
from tests.fuzz.plain import NAMES, load


def main() -> int:
    """The exit code: 0, or 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=NAMES, help="default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets at the same time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help="where inputs and findings are kept")
    parser.add_argument("--source", type=Path, help="the fetcher's source: default fetcher/src")
    parser.add_argument("--replay", type=Path, nargs="+", help="run these inputs, without atheris")
    options = parser.parse_args()
    if options.replay:
        return _replay(options.replay, options.target)
    state = (options.corpus or cache() / "state").resolve()
    state.mkdir(parents=True, exist_ok=True)
    source = copy_source(state, options.source)
    targets = options.target or list(NAMES)
    results = campaign(targets, options.seconds, state, source, options.jobs, options.seed)
    print(f"\n{'target':<9} after {options.seconds:.0f} s with {options.jobs} job(s)")
    for result in results:
        print(line(result))
    findings = sorted(p for p in (state / "findings").glob("*") if p.suffix != ".txt")
    print(f"total     {sum(each.executions for each in results):,} executions")
    print(f"findings  {len(findings)}")
    for finding in findings:
        print(f"  python -m tests.fuzz --replay {os.path.relpath(finding)}")
    broken = any(each.problems or not each.executions for each in results)
    return 1 if findings or broken else 0


def _replay(paths: list[Path], targets: list[str] | None) -> int:
    failed = 0
    for path in paths:
        name = targets[0] if targets else _target(path)
        print(f"{path} as {name}: ", end="", flush=True)
        try:
            accepted = load(name).run(path.read_bytes())
            print("accepted" if accepted else "refused")
        except Exception:
            print("FOUND")
            traceback.print_exc()
            failed += 1
    return 1 if failed else 0


def _target(path: Path) -> str:
    """The target that a file belongs to, by its folder's name or its own."""
    for name in (path.resolve().parent.name, path.name.partition("-")[0]):
        if name in NAMES:
            return name
    sys.exit(f"{path}: say --target")


if __name__ == "__main__":
    sys.exit(main())
