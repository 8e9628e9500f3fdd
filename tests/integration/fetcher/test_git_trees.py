"""The tree that a fetch gives is the one that git's own checkout gives."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fetcher.conftest import Fetcher
from tests.integration.fetcher.trees import picture
from tests.servers.git import GitServer
from tests.servers.repository import Repository, git

NAMES = [
    "plain.py",
    "with space.py",
    "quote'\".py",
    "tab\there",
    "line\nbreak",
    "é-composed",
    "e\u0301-decomposed",
    "日本語.py",
    "🚀",
    "-dash",
    "back\\slash",
    "colon:name",
    "trailing.",
    "...",
    ".gitignore.d",
    ".github",
    "git~2",
    os.fsdecode(b"latin-\xe9"),
    "n" * 255,
]


@pytest.fixture(autouse=True)
def _umask() -> Any:
    """git's checkout follows the umask; ours is always this one."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def compare(fetcher: Fetcher, repository: Repository, ref: str = "HEAD", **settings: Any) -> None:
    commit = repository.git("rev-parse", f"{ref}^{{commit}}")
    expected = picture(repository.checkout(fetcher.directory / "by-git", commit))
    with GitServer(repository.bare.parent, **settings) as server:
        git = {"url": server.url + repository.path, "ref": {"commit": commit}}
        result = fetcher({"type": "git", "git": git})
    assert result.code == 0, result.log
    assert result.message["revision"] == commit
    assert picture(result.tree) == expected
    kinds = [kind for kind, _ in expected.values() if kind != "directory"]
    assert result.message["files"] == len(kinds) - sum(k.startswith("directory") for k in kinds)


def tricky(repository: Repository) -> None:
    """One of everything that a tree can hold."""
    for number, name in enumerate(NAMES):
        repository.write(f"names/{name}", f"{number}\n")
    repository.write("bin/tool", "#!/bin/sh\n", executable=True)
    repository.write("bin/copy-of-tool", "#!/bin/sh\n")
    repository.write("empty", "")
    repository.write("also-empty", "")
    repository.write("a/b/c/d/e/f/g/deep.py", "deep\n")
    repository.write("same/one", "the same\n" * 50)
    repository.write("same/two", "the same\n" * 50)
    repository.write("other/same/one", "the same\n" * 50)
    repository.write("other/same/two", "the same\n" * 50)
    repository.write("crlf.txt", b"one\r\ntwo\r\n")
    links = repository.work / "links"
    links.mkdir()
    (links / "file").symlink_to("../empty")
    (links / "directory").symlink_to("../a/b")
    (links / "dangling").symlink_to("not-there")
    (links / "through").symlink_to("directory/c/d")
    (links / "loop").symlink_to("loop")
    (links / "twice").symlink_to("../empty")
    # A file with the content of a link's target is the same object.
    repository.write("target-as-file", "../empty")
    base = "".join(f"line {n} of a longer text\n" for n in range(400))
    for number in range(30):
        repository.write(f"deltas/{number}.txt", base.replace(f"line {number * 7} ", "changed "))
    repository.git("add", "-A")
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},vendor/module")


def test_everything_a_tree_can_hold(fetcher: Fetcher, tmp_path: Path) -> None:
    """Names, modes, links, duplicates, deltas and submodules come out as by git."""
    repository = Repository(tmp_path / "git")
    tricky(repository)
    repository.git("commit", "-q", "-m", "all of it")
    repository.push()
    compare(fetcher, repository)


@pytest.mark.parametrize("protocol", [0, 1])
def test_older_protocol(fetcher: Fetcher, tmp_path: Path, protocol: int) -> None:
    """A server without protocol 2 gives the same tree."""
    repository = Repository(tmp_path / "git")
    tricky(repository)
    repository.git("commit", "-q", "-m", "all of it")
    repository.push()
    compare(fetcher, repository, protocol=protocol)


def test_sha256(fetcher: Fetcher, tmp_path: Path) -> None:
    """A repository that names its objects with SHA-256 is no different."""
    repository = Repository(tmp_path / "git", algorithm="sha256")
    for number in range(20):
        repository.write(f"d{number % 3}/{number}.py", f"x = {number}\n" * 40)
    repository.commit()
    compare(fetcher, repository)


def test_many_files(fetcher: Fetcher, tmp_path: Path) -> None:
    """Two thousand files in a packed repository with history."""
    repository = Repository(tmp_path / "git")
    generator = random.Random(1)
    for number in range(2000):
        size = generator.randrange(1, 4000)
        repository.write(
            f"pkg{number % 37}/sub{number % 5}/mod{number}.py", generator.randbytes(size).hex()
        )
    repository.commit()
    for number in range(0, 2000, 17):
        repository.write(f"pkg{number % 37}/sub{number % 5}/mod{number}.py", f"changed {number}\n")
    repository.commit()
    compare(fetcher, repository)


@pytest.mark.parametrize("seed", range(6))
def test_random_repository(fetcher: Fetcher, tmp_path: Path, seed: int) -> None:
    """Random trees with a random history, packed in random ways."""
    generator = random.Random(seed)
    repository = Repository(tmp_path / "git")
    paths = [_path(generator) for _ in range(generator.randrange(5, 60))]
    texts = [generator.randbytes(generator.randrange(0, 30000)) for _ in range(8)]
    for _ in range(generator.randrange(1, 6)):
        for path in paths:
            if generator.random() < 0.6:
                _write(repository, generator, path, texts)
        repository.commit()
    if generator.random() < 0.7:
        window, depth = generator.choice([(10, 50), (50, 250), (0, 0)])
        arguments = ["repack", "-adfq", f"--window={window}", f"--depth={depth}"]
        git(repository.bare, *arguments)
    if generator.random() < 0.5:
        repository.serve(repack__writeBitmaps="true", pack__allowPackReuse="true")
    compare(fetcher, repository, "HEAD" if generator.random() < 0.5 else "HEAD~0")


def test_a_large_object_and_its_deltas(fetcher: Fetcher, tmp_path: Path) -> None:
    """Objects beyond what memory may hold go through files, as bases and as results too."""
    repository = Repository(tmp_path / "git")
    generator = random.Random(7)
    body = generator.randbytes(9 << 20)
    repository.write("large.bin", body)
    repository.write("copy.bin", body, executable=True)
    repository.write("similar.bin", body[: 6 << 20] + b"changed" + body[6 << 20 :])
    repository.write("smaller.bin", body[: 5 << 20])
    repository.write("small.bin", body[: 1 << 20])
    repository.commit()
    git(repository.bare, "-c", "core.bigFileThreshold=512m", "repack", "-adfq", "--window=10")
    compare(fetcher, repository)


def _path(generator: random.Random) -> str:
    depth = generator.randrange(0, 5)
    return "/".join(
        [f"d{generator.randrange(4)}" for _ in range(depth)] + [f"f{generator.randrange(400)}"]
    )


def _write(repository: Repository, generator: random.Random, path: str, texts: list[bytes]) -> None:
    file = repository.work / path
    if file.is_dir():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_symlink():
        file.unlink()
    if generator.random() < 0.1 and not file.exists():
        file.symlink_to(f"d{generator.randrange(4)}")
        return
    text = generator.choice(texts)
    cut = generator.randrange(0, len(text) + 1)
    repository.write(
        path,
        text[:cut] + str(generator.randrange(3)).encode() + text[cut:],
        executable=generator.random() < 0.2,
    )
