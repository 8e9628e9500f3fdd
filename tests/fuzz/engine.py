"""One target under atheris: `python -m tests.fuzz.engine TARGET STATE [libFuzzer flags]`.

Runs in the venv of `tests.fuzz.environment`. A finding is written down and the run goes on; what
ends the process (a hang, too much memory) is written down by libFuzzer itself.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from random import Random

import atheris  # type: ignore[import-not-found,unused-ignore]

with atheris.instrument_imports(include=["flow_fetcher"]):
    import flow_fetcher.archives.compression
    import flow_fetcher.archives.tar
    import flow_fetcher.archives.zip
    import flow_fetcher.fetch
    import flow_fetcher.sources.azure
    import flow_fetcher.sources.gcs
    import flow_fetcher.sources.git
    import flow_fetcher.sources.git.source
    import flow_fetcher.sources.git.worktree
    import flow_fetcher.sources.s3  # noqa: F401  imported here to be instrumented

from tests.fuzz.findings import save
from tests.fuzz.targets import load

_EVERY = 2.0


def main() -> None:
    """Fuzz until libFuzzer's flags say that it is enough."""
    name, state = sys.argv[1], Path(sys.argv[2])
    first = "--first" in sys.argv
    """Whether to stop at the first finding."""
    target = load(name)
    counts = {"executions": 0, "accepted": 0, "findings": 0}
    started = next_note = time.monotonic()

    def one(data: bytes) -> None:
        nonlocal next_note
        counts["executions"] += 1
        try:
            counts["accepted"] += target.run(data)
        except Exception as error:
            counts["findings"] += 1
            save(state / "findings", name, data, error)
            if first:
                os._exit(77)
        now = time.monotonic()
        if now >= next_note:
            next_note = now + _EVERY
            usage = os.times()
            note = {**counts, "seconds": now - started, "cpu": usage.user + usage.system}
            (state / f"{name}.json.new").write_text(json.dumps(note))
            os.replace(state / f"{name}.json.new", state / f"{name}.json")

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)

        def change(piece: bytes, size: int) -> bytes:
            return bytes(atheris.Mutate(piece, size)) if size else b""

        return target.mutate(data, rng, change)[:most]

    flags = [f"-max_len={target.largest}", *(word for word in sys.argv[3:] if word != "--first")]
    atheris.Setup([sys.argv[0], *flags], one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
