"""The operator in a process that observes itself.

`python -m tests.bench.scale.inside profile DIR` profiles every thread and writes what it found when
it ends. `… inside trace FILE` traces memory and writes, on SIGUSR1, who holds how much of it.
"""

from __future__ import annotations

import cProfile
import gc
import io
import json
import os
import pstats
import signal
import sys
import threading
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

_FRAMES = 8
_SHOWN = 45
_THIRD = "/site-packages/"
_OURS = "/flow_operator/"


def main() -> int:
    """Run the operator as told."""
    mode, where = sys.argv[1], Path(sys.argv[2])
    if mode == "trace":
        tracemalloc.start(_FRAMES)
        signal.signal(signal.SIGUSR1, lambda *_: _write_owners(where))
        return _operator()
    return _profiled(where)


def _operator() -> int:
    # Imported late: what it imports is to be profiled and traced, too.
    from flow_operator.__main__ import main as operate

    return operate([])


def _profiled(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    profiles: dict[str, cProfile.Profile] = {"main": cProfile.Profile()}
    run = threading.Thread.run

    def profiled_run(thread: threading.Thread) -> None:
        profile = profiles[thread.name] = cProfile.Profile()
        profile.runcall(run, thread)

    threading.Thread.run = profiled_run  # type: ignore[method-assign, assignment]
    try:
        return int(profiles["main"].runcall(_operator))
    finally:
        for name, profile in profiles.items():
            _write_profile(profile, folder / f"{os.getpid()}-{name.replace(' ', '_')}")


def _write_profile(profile: cProfile.Profile, file: Path) -> None:
    text = io.StringIO()
    for order in ("tottime", "cumulative"):
        pstats.Stats(profile, stream=text).sort_stats(order).print_stats(_SHOWN)
    file.with_suffix(".txt").write_text(text.getvalue())
    profile.dump_stats(file.with_suffix(".prof"))


def _write_owners(file: Path) -> None:
    gc.collect()
    sizes: Counter[Any] = Counter()
    # The public view of a trace makes objects of all its frames: minutes for millions of them.
    for _, size, frames, *_ in tracemalloc.take_snapshot().traces._traces:  # type: ignore[attr-defined]
        sizes[frames] += size
    owners: Counter[str] = Counter()
    for frames, size in sizes.items():
        owners[_owner([name for name, _ in frames])] += size
    traced, peak = tracemalloc.get_traced_memory()
    found: dict[str, Any] = {"traced": traced, "peak": peak, "owners": dict(owners.most_common())}
    unfinished = file.with_suffix(".tmp")
    unfinished.write_text(json.dumps(found))
    unfinished.rename(file)


def _owner(files: list[str]) -> str:
    """Who asked for the memory, from the innermost frame outwards.

    The module of ours, or of kopf; else the package; else Python. What is made while a module is
    imported belongs to the imports.
    """
    if any(name.startswith("<frozen importlib") for name in files):
        return "imports"
    for name in files:
        if _OURS in name:
            return "flow_operator/" + name.rpartition(_OURS)[2]
        if f"{_THIRD}kopf/" in name:
            return "kopf/" + name.rpartition("/kopf/")[2]
    for name in files:
        if _THIRD in name:
            return name.rpartition(_THIRD)[2].partition("/")[0]
    return "python"


if __name__ == "__main__":
    sys.exit(main())
