"""Repositories that are large in one way: many files, or one file beyond any memory.

The blob has `FLOW_TEST_BLOB_MIB` (256 by default); `make large-blob` gives it more than 4 GiB.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from tests.integration.fetcher.conftest import Fetcher
from tests.servers.git import GitServer
from tests.servers.repository import Repository, git

MIB = 1 << 20
MOST_MEMORY = 128 * MIB


def peak(fetcher: Fetcher, repository: Repository) -> int:
    """Fetch the branch; the peak of the process's memory in bytes."""
    highest = 0
    with GitServer(repository.bare.parent) as server:
        url = f"{server.url}{repository.path}"
        process = fetcher.start({"type": "git", "git": {"url": url, "ref": {"branch": "main"}}})
        while process.poll() is None:
            # The kernel's own mark; that of `wait4` would count the tests' memory too.
            status = Path(f"/proc/{process.pid}/status").read_text()
            mark = re.search(r"VmHWM:\s+(\d+) kB", status)
            command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
            if mark and b"flow_fetcher" in command:
                highest = max(highest, int(mark[1]) * 1024)
            time.sleep(0.005)
    assert process.stderr is not None
    assert process.returncode == 0, process.stderr.read()
    return highest


def test_a_hundred_thousand_files(fetcher: Fetcher, tmp_path: Path) -> None:
    """Memory grows with the names alone."""
    repository = Repository(tmp_path / "git")

    def commands() -> Iterator[str]:
        yield "commit refs/heads/main\ncommitter Ada <a@b.c> 1700000000 +0000\ndata 0\n"
        for number in range(100_000):
            path = f"group{number % 97}/part{number % 31}/module{number}.py"
            text = f"value = {number}\n"
            yield f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
        yield "done\n"

    git(repository.bare, "fast-import", "--quiet", "--done", stdin="".join(commands()).encode())
    assert 0 < peak(fetcher, repository) < MOST_MEMORY
    tree = fetcher.directory / "flow/src"
    found = sum(len(files) for _, _, files in os.walk(tree))
    assert found == 100_000
    assert (
        tree / f"group{99_999 % 97}/part{99_999 % 31}/module99999.py"
    ).read_text() == "value = 99999\n"


def test_a_blob_beyond_memory(fetcher: Fetcher, tmp_path: Path) -> None:
    """A file streams to disk, whatever its size, and is verified."""
    size = int(os.environ.get("FLOW_TEST_BLOB_MIB", "256"))
    repository = Repository(tmp_path / "git")
    with (repository.work / "large.bin").open("wb") as file:
        for number in range(size):
            file.seek(number * MIB)
            file.write(number.to_bytes(8, "big"))
        file.truncate(size * MIB)
    repository.git("config", "core.bigFileThreshold", "1m")
    repository.git("config", "core.compression", "1")
    repository.commit()
    assert 0 < peak(fetcher, repository) < MOST_MEMORY
    assert digest(fetcher.directory / "flow/src/large.bin") == digest(repository.work / "large.bin")


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()
