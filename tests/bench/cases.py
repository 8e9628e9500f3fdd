"""What is fetched, by whom, and what is asked of the fetcher in each case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.bench import clients, repositories, stores
from tests.bench.build import FETCHER
from tests.bench.clients import Client
from tests.bench.figures import Goal
from tests.bench.repositories import Repository
from tests.bench.stores import LARGE, SETS, STORES, Store
from tests.servers.git import GitServer

GROUPS = ("git", "s3", "gcs", "azure", "latency")
MIB = 1 << 20
ROUND_TRIPS = (0.02, 0.1)

_MEMORY = Goal("memory", 128 * MIB)
_FAST_GIT = (Goal("wall", 0.8, "git"), Goal("cpu", 0.65, "git"), Goal("wall", 0.35, "go-git"))
_REPOSITORIES: dict[str, tuple[Callable[[], Repository], tuple[Goal, ...]]] = {
    "git-21": (lambda: repositories.generated(21), (Goal("wall", 1.2, "git"),)),
    "git-2001": (lambda: repositories.generated(2_001), _FAST_GIT),
    "git-20025": (lambda: repositories.generated(20_025), _FAST_GIT),
    "git-django": (repositories.real, _FAST_GIT),
}
_SUBDIRECTORY = "part07"
_PYTHON_PEERS = {"s3": ("s3fs", "boto3"), "gcs": ("gcsfs",), "azure": ("adlfs",)}


@dataclass(frozen=True)
class Case:
    """One thing that every client fetches.

    Attributes:
        group: What `--only` selects it by.
        title: What there is to fetch.
        port: Where the server listens.
        round_trip: Seconds that a link before the server simulates; 0 for none.
        ours: The fetcher, and after it any other version of it.
        files: How many the tree must have, with `size` bytes in all.
    """

    name: str
    group: str
    title: str
    port: int
    ours: list[Client]
    peers: list[Client]
    files: int
    size: int
    goals: tuple[Goal, ...] = ()
    round_trip: float = 0.0
    clients: list[Client] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clients", [*self.ours, *self.peers])


class Cases:
    """All cases; the servers start when a case needs them and run while the `with` lasts.

    Args:
        quick: Only what takes seconds.
        current: The distribution of the fetcher that is judged.
        other: That of another work tree, to compare two versions.
    """

    def __init__(
        self, *, quick: bool = False, current: Path = FETCHER, other: Path | None = None
    ) -> None:
        self._quick = quick
        self._current = current
        self._other = other
        self._stack = ExitStack()
        self._git: GitServer | None = None
        self._stores: dict[str, Store] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def groups(self) -> list[str]:
        """Those that this version of the fetcher has."""
        sources = self._current / "src" / "flow_fetcher" / "sources"
        stores = [kind for kind in ("gcs", "azure") if (sources / f"{kind}.py").exists()]
        return ["git", "s3", *stores, "latency"]

    def select(self, group: str, names: list[str]) -> Iterator[Case]:
        """The cases of this group, one after the other; of these names alone, where some are
        given."""
        make = {"git": self._of_git, "latency": self._of_latency}.get(group)
        for name, case in make() if make else self._of_store(group):
            if not names or name in names:
                yield case()

    def _of_git(self) -> Iterator[tuple[str, Callable[[], Case]]]:
        for name, (make, goals) in _REPOSITORIES.items():
            if not self._quick or name in ("git-21", "git-2001"):
                yield (
                    name,
                    lambda make=make, name=name, goals=goals: self._repository(name, make(), goals),
                )
        if not self._quick and self._sparse():
            yield "git-subdirectory", self._subdirectory

    def _of_store(self, kind: str) -> Iterator[tuple[str, Callable[[], Case]]]:
        for prefix in ("o20", "o2000") if self._quick else (*SETS, LARGE):
            name = f"{kind}-{prefix.removeprefix('o')}"
            yield name, lambda prefix=prefix, name=name: self._prefix(name, kind, prefix)

    def _of_latency(self) -> Iterator[tuple[str, Callable[[], Case]]]:
        for trip in ROUND_TRIPS[1:] if self._quick else ROUND_TRIPS:
            for name in ("git-21", "git-2001"):
                make = _REPOSITORIES[name][0]
                for branch in (None, "main") if name == "git-21" else (None,):
                    full = f"{name}{'-branch' if branch else ''}@{round(trip * 1000)}ms"
                    yield (
                        full,
                        lambda full=full, make=make, branch=branch, trip=trip: self._repository(
                            full, make(), (), branch, trip
                        ),
                    )
            for prefix in ("o20", "o2000"):
                full = f"s3-{prefix.removeprefix('o')}@{round(trip * 1000)}ms"
                yield (
                    full,
                    lambda full=full, prefix=prefix, trip=trip: self._prefix(
                        full, "s3", prefix, trip
                    ),
                )

    def _repository(
        self,
        name: str,
        repository: Repository,
        goals: tuple[Goal, ...],
        branch: str | None = None,
        trip: float = 0.0,
    ) -> Case:
        what = (repository.name, repository.commit, branch)
        peers = clients.git_clients(*what)
        if trip:
            peers = [peer for peer in peers if peer.name != "prefect"]
        title = f"{repository.files:,} files, {repository.size / 1e6:.1f} MB, " + (
            f"branch {branch}" if branch else "a known commit"
        )
        return Case(
            name=name,
            group="latency" if trip else "git",
            title=title,
            port=self._git_port(repository),
            ours=self._ours(lambda d, n: clients.fetcher_git(*what, None, d, n)),
            peers=peers,
            files=repository.files,
            size=repository.size,
            goals=(*goals, _MEMORY),
            round_trip=trip,
        )

    def _subdirectory(self) -> Case:
        repository = repositories.generated(20_025)
        inside = repository.listing(_SUBDIRECTORY)
        what = (repository.name, repository.commit, None)
        return Case(
            name="git-subdirectory",
            group="git",
            title=f"one of 40 directories of {repository.files:,} files: {len(inside)} files",
            port=self._git_port(repository),
            ours=self._ours(lambda d, n: clients.fetcher_git(*what, [_SUBDIRECTORY], d, n)),
            peers=[clients.git_sparse(repository.name, _SUBDIRECTORY)],
            files=len(inside),
            size=sum(inside),
            goals=(Goal("wall", 0.15, "git", case="git-20025"), _MEMORY),
        )

    def _prefix(self, name: str, kind: str, prefix: str, trip: float = 0.0) -> Case:
        store = self._store(kind)
        sizes = [f.stat().st_size for f in (stores.objects() / prefix).rglob("*") if f.is_file()]
        peers = clients.store_clients(store, prefix)
        goals: tuple[Goal, ...] = (_MEMORY,)
        if prefix in ("o2000", "o10000") and not trip:
            python = (Goal("wall", 0.2, peer) for peer in _PYTHON_PEERS[kind])
            goals = (Goal("wall", 0.85, "rclone"), *python, _MEMORY)
        if trip:
            # The others would take minutes.
            far = prefix == "o2000" and trip == max(ROUND_TRIPS)
            names = ("rclone",) if far else ("rclone", "s3fs", "boto3")
            peers = [peer for peer in peers if peer.name in names]
        if prefix == "o10000":
            peers = [peer for peer in peers if peer.name != "prefect-aws"]
        return Case(
            name=name,
            group="latency" if trip else kind,
            title=f"{len(sizes):,} objects, {sum(sizes) / 1e6:.1f} MB",
            port=store.port,
            ours=self._ours(lambda d, n: clients.fetcher_store(store, prefix, d, n)),
            peers=peers,
            files=len(sizes),
            size=sum(sizes),
            goals=goals,
            round_trip=trip,
        )

    def _ours(self, make: Callable[[Path, str], Client]) -> list[Client]:
        versions = [make(self._current, clients.OURS)]
        return [*versions, make(self._other, "other version")] if self._other else versions

    def _sparse(self) -> bool:
        """Whether this version of the fetcher can leave out what is outside some directories."""
        spec = self._current / "src" / "flow_fetcher" / "sources" / "git" / "spec.py"
        return '"sparseCheckout"' in spec.read_text()

    def _git_port(self, repository: Repository) -> int:
        if self._git is None:
            self._git = self._stack.enter_context(GitServer(repository.path.parent))
        return self._git.port

    def _store(self, kind: str) -> Store:
        if kind not in self._stores:
            self._stores[kind] = self._stack.enter_context(STORES[kind]())
        return self._stores[kind]
