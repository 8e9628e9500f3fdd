"""Where the fuzzer runs: a venv of its own in the cache, and a copy of the fetcher's source."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
_FETCHER = REPOSITORY / "fetcher"


def cache() -> Path:
    """The folder for the venv, and for what runs find; `FLOW_CACHE` moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = os.environ.get("FLOW_CACHE") or f"{base}/flow-operator"
    path = Path(chosen).expanduser().resolve() / "fuzz"
    path.mkdir(parents=True, exist_ok=True)
    return path


def python() -> Path:
    """The Python of a venv with atheris and what the fetcher needs; made when its locks change."""
    locks = [HERE / "requirements.lock", _FETCHER / "requirements.lock"]
    digest = hashlib.sha256(sys.version.encode())
    for lock in locks:
        digest.update(lock.read_bytes())
    folder = cache() / f"venv-{digest.hexdigest()[:12]}"
    if not (folder / ".complete").exists():
        print("fuzz: set up a venv with atheris ...", file=sys.stderr, flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install"]
        command += ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
        command += ["--only-binary=:all:"]
        for lock in locks:
            command += ["-r", lock]
        subprocess.run(command, check=True)
        (folder / ".complete").touch()
    return folder / "bin" / "python"


def copy_source(folder: Path, source: Path | None = None) -> Path:
    """A copy of the fetcher's source, which nobody edits while the run goes on; for PYTHONPATH."""
    target = folder / "source"
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(source or _FETCHER / "src", target, ignore=ignored)
    return target


def environment(source: Path) -> dict[str, str]:
    """The environment for a child that is to import this source, and the harness."""
    return {
        **os.environ,
        "PYTHONPATH": f"{source}{os.pathsep}{REPOSITORY}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
