"""One repository, its server, and the plan that names it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.servers.git import GitServer
from tests.servers.repository import Repository, git
from tests.servers.web import Server


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = Repository(tmp_path_factory.mktemp("git"))
    for number in range(60):
        made.write(f"pkg{number % 4}/mod{number}.py", f"x = {number}\n" * (number + 1))
    made.write("random.bin", bytes((number * 7919) % 251 for number in range(30000)))
    made.commit("first")
    made.write("pkg0/mod0.py", "changed\n")
    made.commit("second")
    git(made.bare, "repack", "-adfq")
    return made


@pytest.fixture(scope="module")
def server(repository: Repository) -> Iterator[GitServer]:
    with GitServer(repository.bare.parent) as running:
        yield running


def source(server: Server, **ref: str) -> dict[str, Any]:
    return {"type": "git", "git": {"url": f"{server.url}/flows.git", "ref": ref}}
