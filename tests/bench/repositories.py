"""Git repositories to fetch from: three generated ones and a real project, with their history."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench import content
from tests.bench.places import HERE, BenchError, once

_CLOCK = 1_700_000_000
_COMMITS = 25
_GROUPS = 40


@dataclass(frozen=True)
class Repository:
    """A bare repository on disk, and what is in the tree of its branch `main`."""

    path: Path
    commit: str
    files: int
    size: int

    @property
    def name(self) -> str:
        """Its path below the server's URL."""
        return self.path.name

    def listing(self, directory: str) -> list[int]:
        """The sizes of the files in one directory of the tree."""
        lines = _git(self.path, "ls-tree", "-r", "-l", self.commit, f"{directory}/").splitlines()
        return [int(line.split()[3]) for line in lines]


def generated(files: int) -> Repository:
    """A repository of so many files, with 24 changes after the first commit."""
    return _load(
        once(
            "repositories",
            f"generated-{files}",
            [content.VERSION, b"%d" % files, Path(__file__).read_bytes()],
            lambda folder: _import(folder, _history(files)),
        )
    )


def real() -> Repository:
    """Four releases of Django, each a commit: 6,900 files."""
    lock = HERE / "sdists.lock"
    return _load(
        once(
            "repositories",
            "django",
            [lock.read_bytes(), Path(__file__).read_bytes()],
            lambda folder: _import(folder, _releases(folder, lock)),
        )
    )


def _history(files: int) -> Iterator[dict[str, bytes]]:
    """What each commit changes."""
    writer = content.Writer(f"git {files}")
    tree = {path: writer.file() for path in content.paths(files, _GROUPS)}
    yield tree
    for _ in range(_COMMITS - 1):
        changed = writer.random.sample(sorted(tree), max(1, files // 100))
        edits = {path: writer.edit(tree[path]) for path in changed}
        tree |= edits
        yield edits


def _releases(folder: Path, lock: Path) -> Iterator[dict[str, bytes | None]]:
    """The files of each release; None for one that is gone."""
    downloads = folder / "downloads"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    earlier: set[str] = set()
    for number, requirement in enumerate(lock.read_text().split("\n\n")):
        one = folder / "requirement.txt"
        one.write_text(requirement)
        target = downloads / str(number)
        subprocess.run(
            [*command, "--no-binary", ":all:", "-d", target, "-r", one], check=True, cwd=folder
        )
        (archive,) = target.iterdir()
        tree: dict[str, bytes | None] = {}
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile():
                    file = tar.extractfile(member)
                    assert file is not None
                    tree[member.name.partition("/")[2]] = file.read()
        gone: dict[str, bytes | None] = dict.fromkeys(earlier - set(tree))
        earlier = set(tree)
        yield gone | tree
    shutil.rmtree(downloads)


def _import(folder: Path, history: Iterable[dict[str, bytes] | dict[str, bytes | None]]) -> None:
    """Make the bare repository, packed as a hosting service keeps it."""
    bare = folder / "repository.git"
    bare.mkdir()
    _git(bare, "init", "--quiet", "--bare", "--initial-branch=main", ".")
    tree: dict[str, int] = {}
    importer = subprocess.Popen(
        ["git", "fast-import", "--quiet"], cwd=bare, env=_environment(), stdin=subprocess.PIPE
    )
    assert importer.stdin is not None
    for number, changes in enumerate(history):
        importer.stdin.write(
            b"commit refs/heads/main\ncommitter Ada <ada@example.com> %d +0000\ndata 6\nchange\n"
            % (_CLOCK + 60 * number)
        )
        for path, data in sorted(changes.items()):
            if data is None:
                importer.stdin.write(b"D %s\n" % path.encode())
                del tree[path]
                continue
            mode = b"100755" if len(data) % 50 == 0 else b"100644"
            importer.stdin.write(b"M %s inline %s\n" % (mode, path.encode()))
            importer.stdin.write(b"data %d\n%s\n" % (len(data), data))
            tree[path] = len(data)
    importer.stdin.close()
    if importer.wait():
        raise BenchError("git fast-import failed")
    _git(bare, "repack", "-a", "-d", "-f", "--quiet", "--write-bitmap-index")
    for key in ("allowFilter", "allowAnySHA1InWant"):
        _git(bare, "config", f"uploadpack.{key}", "true")
    commit = _git(bare, "rev-parse", "main")
    described = {"commit": commit, "files": len(tree), "size": sum(tree.values())}
    (folder / "repository.json").write_text(json.dumps(described))


def _load(folder: Path) -> Repository:
    described = json.loads((folder / "repository.json").read_text())
    # The folder above the repository names it: the server serves the folder above both.
    named = folder.parent / f"{folder.name}.git"
    if not named.is_symlink():
        named.symlink_to(folder / "repository.git")
    return Repository(named, described["commit"], described["files"], described["size"])


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=directory,
        env=_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
    }
