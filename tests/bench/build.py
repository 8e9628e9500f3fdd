"""Installs what is measured: the fetcher as in its image, and each peer from its registry, pinned.

Everything goes to the cache; the first run takes minutes, later ones nothing.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.bench.places import HERE, REPOSITORY, BenchError, cache, once, sources

FETCHER = REPOSITORY / "fetcher"
_PACKAGES = {
    "gogit": ("go", "./gogit"),
    "link": ("go", "./link"),
    "buckets": ("go", "./buckets"),
    "rclone": ("rclone", "github.com/rclone/rclone"),
}
"""Program → the module below `peers` that pins it, and its package."""


@functools.cache
def fetcher(source: Path) -> Path:
    """The Python of a venv with the fetcher as its image has it: locked, and compiled.

    Args:
        source: The distribution's directory, in whichever work tree.
    """
    lock = source / "requirements.lock"

    def dependencies(folder: Path) -> None:
        python = _venv(folder)
        _pip(python, "--require-hashes", "--no-compile", "--only-binary=:all:", "-r", lock)
        _compile(python, folder)

    locked = once("fetcher", "dependencies", [lock.read_bytes(), _version()], dependencies)

    def distribution(folder: Path) -> None:
        shutil.copytree(locked, folder, symlinks=True, dirs_exist_ok=True)
        (folder / ".complete").unlink()
        python = _venv(folder)
        (packages,) = (folder / "lib").glob("python*/site-packages")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source / "src" / "flow_fetcher", packages / "flow_fetcher", ignore=ignored)
        _compile(python, packages / "flow_fetcher")

    recipe = [lock.read_bytes(), _version(), *sources(source / "src", "*.py")]
    name = hashlib.sha256(bytes(source)).hexdigest()[:8]
    return once("fetcher", name, recipe, distribution) / "bin" / "python"


@functools.cache
def peers() -> Path:
    """The Python of a venv with all peers that are on PyPI."""
    lock = HERE / "requirements.lock"

    def install(folder: Path) -> None:
        _say("install the peers that are on PyPI")
        _pip(_venv(folder), "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", lock)

    recipe = [lock.read_bytes(), _version()]
    return once("python", "peers", recipe, install) / "bin" / "python"


@functools.cache
def program(name: str) -> Path:
    """A program built from a Go module."""
    module, package = _PACKAGES[name]
    folder = HERE / "peers" / module

    def build(target: Path) -> None:
        _say(f"build {name} from Go modules")
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", str(target / name)]
        env = {**os.environ, "CGO_ENABLED": "0"}
        _run(["go", "build", "-p", "2", *flags, package], cwd=folder, env=env)

    recipe = [name.encode(), *sources(folder, "go.mod", "go.sum", "*.go")]
    return once("go", name, recipe, build) / name


def _venv(folder: Path) -> Path:
    _run([sys.executable, "-m", "venv", "--without-pip", folder])
    return folder / "bin" / "python"


def _pip(python: Path, *arguments: str | Path) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command = [sys.executable, "-m", "pip", "--python", python, "install", *quiet, *arguments]
    _run(command)


def _compile(python: Path, folder: Path) -> None:
    """Bytecode that is never checked against its source, as the Dockerfile makes it."""
    mode = ["--invalidation-mode", "unchecked-hash"]
    _run([python, "-m", "compileall", "-q", "-j", "0", *mode, folder])


def _version() -> bytes:
    return f"{sys.version} {sys.base_prefix} {cache()}".encode()


def _run(
    command: Sequence[str | Path], *, cwd: Path | None = None, env: dict[str, str] | None = None
) -> None:
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise BenchError(f"{words[0]} is not on PATH: install it, or use --only") from missing
    if done.returncode:
        output = (done.stdout + done.stderr)[-3000:]
        raise BenchError(f"`{' '.join(words)}` exited {done.returncode}:\n{output}")


def _say(text: str) -> None:
    print(f"bench: {text} …", file=sys.stderr, flush=True)
