"""The programs that are compared: for each, the command that brings one source into a directory."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import build
from tests.bench.places import HERE
from tests.bench.process import Command
from tests.bench.stores import BUCKET, Azure, Store, objects
from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY

OURS = "flow-fetcher"
_PEERS = HERE / "peers"


@dataclass(frozen=True)
class Job:
    """One run of one client: where everything goes.

    Attributes:
        room: An empty directory for this run alone.
        port: Where the server, or the link before it, listens.
    """

    room: Path
    port: int

    @property
    def tree(self) -> Path:
        """Where the client puts the files, unless it decides itself."""
        return self.room / "tree"

    @property
    def endpoint(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self.port}"

    def command(self, *argv: str | Path, **env: str) -> Command:
        """A command with a clean environment; a name ends in an underscore for no reason."""
        clean = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.room / "home"),
            "TMPDIR": str(self.room / "tmp"),
            "LANG": "C.UTF-8",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
        }
        for name in ("HOME", "TMPDIR"):
            Path(clean[name]).mkdir(exist_ok=True)
        self.tree.mkdir(exist_ok=True)
        return Command(argv, {**clean, **env}, self.tree)


@dataclass(frozen=True)
class Client:
    """A program that fetches.

    Attributes:
        name: What the table calls it.
        command: Builds its command line.
        tree: Where its files lie afterwards, below the room; None for a floor that keeps nothing.
    """

    name: str
    command: Callable[[Job], Command]
    tree: str | None = "tree"


def fetcher(
    source: Callable[[Job], dict[str, Any]],
    secret: Mapping[str, str],
    distribution: Path,
    name: str = OURS,
) -> Client:
    """The fetcher as the kubelet starts it, with a volume of its own."""

    def command(job: Job) -> Command:
        run = {"namespace": "data", "name": "etl-x1", "uid": "u1", "deployment": "etl"}
        plan = {"version": 1, "run": {**run, "attempt": 1}, "source": source(job)}
        if secret:
            plan["secretName"] = "code-access"
        (job.room / "plan.json").write_text(json.dumps(plan))
        (job.room / "credentials").mkdir()
        (job.room / "flow").mkdir()
        for key, value in secret.items():
            (job.room / "credentials" / key).write_text(value)
        argv: list[str | Path] = [build.fetcher(distribution), "-I", "-m", "flow_fetcher", "fetch"]
        argv += ["--plan", job.room / "plan.json", "--credentials", job.room / "credentials"]
        argv += ["--volume", job.room / "flow", "--termination-log", job.room / "termination-log"]
        return job.command(*argv, PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")

    return Client(name, command, "flow/src")


def git_clients(repository: str, commit: str, branch: str | None) -> list[Client]:
    """The peers for a commit, or for a branch that has yet to be resolved."""

    def url(job: Job) -> str:
        return f"{job.endpoint}/{repository}"

    def git(job: Job) -> Command:
        fetch = f"git fetch -q --depth 1 {url(job)} {branch or commit}"
        return job.command("sh", "-ec", f"git init -q; {fetch}; git checkout -q FETCH_HEAD")

    def clone(job: Job) -> Command:
        flags = ["-q", "--depth", "1", "--single-branch", "--branch", str(branch)]
        return job.command("git", "clone", *flags, url(job), ".")

    def gogit(job: Job) -> Command:
        return job.command(build.program("gogit"), url(job), branch or commit, job.tree)

    def dulwich(job: Job) -> Command:
        script = _PEERS / "dulwich_clone.py"
        return job.command(build.peers(), "-I", script, url(job), "main", job.tree)

    def prefect(job: Job) -> Command:
        script = _PEERS / "prefect_git.py"
        return job.command(build.peers(), "-I", script, url(job), "main", **_prefect(job))

    def floor(job: Job) -> Command:
        return job.command(build.peers(), "-I", _PEERS / "git_floor.py", url(job), commit)

    name = repository.removesuffix(".git")
    return [
        Client("git", clone if branch else git),
        Client("go-git", gogit),
        Client("dulwich", dulwich),
        Client("prefect", prefect, f"tree/{name}-main"),
        Client("floor", floor, None),
    ]


def git_sparse(repository: str, directory: str) -> Client:
    """What git itself offers for one directory."""

    def command(job: Job) -> Command:
        flags = "-q --depth 1 --filter=blob:none --sparse --no-checkout"
        steps = f"git clone {flags} {job.endpoint}/{repository} ."
        steps += f"; git sparse-checkout set --no-cone /{directory}; git checkout -q"
        return job.command("sh", "-ec", steps)

    return Client("git sparse", command)


def fetcher_git(
    repository: str,
    commit: str,
    branch: str | None,
    paths: list[str] | None,
    distribution: Path,
    name: str,
) -> Client:
    """The fetcher for git."""

    def source(job: Job) -> dict[str, Any]:
        ref = {"branch": branch} if branch else {"commit": commit}
        git: dict[str, Any] = {"url": f"{job.endpoint}/{repository}", "ref": ref}
        if paths:
            git["sparseCheckout"] = paths
        return {"type": "git", "git": git}

    return fetcher(source, {}, distribution, name)


def store_clients(store: Store, prefix: str) -> list[Client]:
    """The peers for everything under a prefix."""

    def rclone(job: Job) -> Command:
        flags = ["--config", "", "--transfers", "16", "--checkers", "16"]
        argv = [build.program("rclone"), *flags, "copy", f"bench:{BUCKET}/{prefix}", job.tree]
        return job.command(*argv, **store.rclone(job.port))

    def script(name: str, *arguments: str, **env: str) -> Callable[[Job], Command]:
        def command(job: Job) -> Command:
            where = [job.endpoint, BUCKET, prefix, *arguments, job.tree]
            return job.command(build.peers(), "-I", _PEERS / f"{name}.py", *where, **env)

        return command

    def copy(job: Job) -> Command:
        return job.command("cp", "-r", objects() / prefix, job.room / "copy")

    ours = Client("rclone", rclone)
    floor = Client("cp -r", copy, "copy")
    if store.kind == "gcs":
        return [ours, Client("gcsfs", script("gcsfs_get")), floor]
    if store.kind == "azure":
        adlfs = script("adlfs_get", Azure.account, Azure.key)
        return [ours, Client("adlfs", adlfs), floor]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    keys |= {"AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true"}

    def aws(job: Job) -> Command:
        program = build.peers().with_name("aws")
        flags = ["--only-show-errors", "--endpoint-url", job.endpoint]
        what = [f"s3://{BUCKET}/{prefix}", job.tree]
        return job.command(program, "s3", "cp", "--recursive", *flags, *what, **keys)

    def prefect(job: Job) -> Command:
        argv = [build.peers(), "-I", _PEERS / "prefect_s3.py", job.endpoint, BUCKET, prefix]
        return job.command(*argv, **keys, **_prefect(job))

    return [
        ours,
        Client("s3fs", script("s3fs_get", **keys)),
        Client("boto3", script("boto3_get", **keys)),
        Client("aws cli", aws),
        Client("prefect-aws", prefect),
        floor,
    ]


def fetcher_store(store: Store, prefix: str, distribution: Path, name: str) -> Client:
    """The fetcher for an object store."""
    return fetcher(lambda job: store.source(job.endpoint, prefix), store.secret, distribution, name)


def _prefect(job: Job) -> dict[str, str]:
    """Prefect without a server, and with a home that is thrown away."""
    home = job.room / "prefect"
    home.mkdir(exist_ok=True)
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def clear(room: Path) -> Path:
    """An empty directory in the place of whatever a run left."""
    shutil.rmtree(room, ignore_errors=True)
    room.mkdir(parents=True)
    return room
