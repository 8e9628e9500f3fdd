"""Bugs to plant into a copy of the fetcher, to see that the fuzzer finds them.

`python -m tests.fuzz.planted` runs the fuzzer against each, until it is found or the time is up.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.environment import copy_source, environment, python
from tests.fuzz.targets import load


@dataclass(frozen=True)
class Bug:
    """A piece of the fetcher's source, and what a mistake would make of it."""

    target: str
    file: str
    right: str
    wrong: str


BUGS = {
    "dot-dot": Bug(
        "pack",
        "names.py",
        'if name in (b"", b".", b".."):',
        'if name in (b"", b"."):',
    ),
    "dot-git": Bug(
        "names",
        "names.py",
        "if re.fullmatch(_NTFS_DOT_GIT, name) or",
        "if",
    ),
    "absolute": Bug(
        "names",
        "tree.py",
        ' or path.startswith(b"/"):',
        ":",
    ),
    "links": Bug("zip", "links.py", "if _escapes(path, target, links):", "if False:"),
    "checksum": Bug(
        "pack",
        "sources/git/pack.py",
        "if trailer[: self._name_size] != self._digest.digest():",
        "if False:",
    ),
    "delta-bound": Bug(
        "delta",
        "sources/git/delta.py",
        "if left < 0 or stop > size:",
        "if left < 0:",
    ),
    "delta-end": Bug(
        "pack",
        "sources/git/delta.py",
        "if left or at > end:",
        "if at > end:",
    ),
    "truncated-base": Bug(
        "pack",
        "sources/git/pack.py",
        "if at > len(buffer):",
        "if False:",
    ),
    "stars": Bug(
        "attributes",
        "sources/git/glob.py",
        """rb"(?>[^/]*?" + piece""",
        """rb"(?:[^/]*?" + piece""",
    ),
    "scratch-bound": Bug(
        "pack",
        "sources/git/pack.py",
        "if self._room < 0:",
        "if False:",
    ),
    "zip-checksum": Bug(
        "zip",
        "archives/zip.py",
        "if checksum != entry.checksum:",
        "if False:",
    ),
    "credentials": Bug(
        "protocol",
        "sources/git/http.py",
        "if self._authorization and elsewhere:",
        "if False:",
    ),
    "sparse": Bug(
        "protocol",
        "sources/git/scope.py",
        "return path.startswith(self._inside)",
        "return True",
    ),
    "quotes": Bug(
        "ssh",
        "sources/git/ssh.py",
        """at.path.replace("'", "'\\\\''")""",
        "at.path",
    ),
    "listed-key": Bug(
        "obstore",
        "sources/objects.py",
        "if key.startswith(begin):",
        "if key:",
    ),
    "listed-name": Bug(
        "fsspec",
        "sources/fsspec/folder.py",
        "if name.startswith(begin) and not is_marker:",
        "if not is_marker:",
    ),
}


def plant(bug: Bug, folder: Path) -> Path:
    """A copy of the fetcher's source with this bug; for PYTHONPATH."""
    source = copy_source(folder)
    path = source / "flow_fetcher" / bug.file
    text = path.read_text()
    if text.count(bug.right) != 1:
        raise ValueError(f"{bug.file} has not exactly one {bug.right!r}: correct planted.py")
    path.write_text(text.replace(bug.right, bug.wrong))
    return source


def _hunt(name: str, seconds: int, interpreter: Path) -> str | None:
    """Fuzz a copy with this bug, from the seeds; how it was found, or None."""
    bug = BUGS[name]
    folder = Path(tempfile.mkdtemp(prefix="planted-"))
    try:
        source = plant(bug, folder)
        state = folder / "state"
        corpus = state / "corpus"
        corpus.mkdir(parents=True)
        for label, data in load(bug.target).seeds():
            (corpus / label).write_bytes(data)
        command = [interpreter, "-m", "tests.fuzz.engine", bug.target, state, "--first", "-seed=1"]
        command += [f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=1024", corpus]
        command += [f"-artifact_prefix={state}/killed-"]
        subprocess.run(
            [str(word) for word in command],
            env=environment(source), cwd=state, check=False, capture_output=True,
        )  # fmt: skip
        for note in sorted((state / "findings").glob("*.txt")):
            return note.read_text().strip().splitlines()[-1]
        return "a hang" if any(state.glob("killed-timeout-*")) else None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """The exit code: 0 where every bug was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.planted", description=__doc__)
    parser.add_argument("--bug", action="append", choices=tuple(BUGS), help="default: all")
    parser.add_argument("--seconds", type=int, default=300, help="for each bug, at most")
    options = parser.parse_args()
    interpreter = python()
    missed = 0
    for name in options.bug or BUGS:
        start = time.monotonic()
        found = _hunt(name, options.seconds, interpreter)
        missed += found is None
        words = f"found: {found[:110]}" if found else "NOT FOUND"
        took = f"{time.monotonic() - start:>5.0f} s"
        print(f"{name:<15} {BUGS[name].target:<9} {took}  {words}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
