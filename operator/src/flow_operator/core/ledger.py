"""Who may run while the operator as a whole, or a namespace, has a limit: a fair queue.

Room goes to the namespace with the fewest runs, in it to the deployment with the fewest, and there
to the oldest run: a thousand runs of one team do not keep another's waiting.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that has not ended.

    Attributes:
        uid, namespace, name: Its identity.
        deployment: Name of its deployment.
        created: When it was created; what sorts first goes first.
        started: Whether it was let go ahead.
    """

    uid: str
    namespace: str
    name: str
    deployment: str
    created: str
    started: bool


def _age(entry: Entry) -> tuple[str, str]:
    return entry.created, entry.name


@dataclass(slots=True)
class Ledger:
    """The runs that have room, and those that wait for it.

    Attributes:
        limit: How many runs may have room; None: any number.
        namespace_limit: The same in each namespace.
    """

    limit: int | None
    namespace_limit: int | None
    _running: dict[str, Entry] = field(default_factory=dict)
    _waiting: dict[str, Entry] = field(default_factory=dict)
    _lines: dict[str, dict[str, dict[str, Entry]]] = field(default_factory=dict)
    """Those that wait, by namespace and deployment."""
    _in_namespace: Counter[str] = field(default_factory=Counter)
    _of_deployment: Counter[tuple[str, str]] = field(default_factory=Counter)

    def __len__(self) -> int:
        """How many runs have room."""
        return len(self._running)

    def __contains__(self, entry: Entry) -> bool:
        """Whether a run has room, or waits for it."""
        return entry.uid in self._running or entry.uid in self._waiting

    def load(self, entries: Iterable[Entry]) -> list[Entry]:
        """Start anew from runs that have not ended; return those that get room.

        Room that was given stays given.
        """
        given = set(self._running)
        self._running.clear()
        self._waiting.clear()
        self._lines.clear()
        self._in_namespace.clear()
        self._of_deployment.clear()
        for entry in sorted(entries, key=_age):
            if entry.started or entry.uid in given:
                self._give(entry)
            else:
                self._line_up(entry)
        return self._hand_out()

    def request(self, entry: Entry) -> str | None:
        """Ask for room for a run; return why it has to wait, or None.

        One that was let go ahead has it, however many there are.
        """
        if entry.uid in self._running:
            return None
        if entry.started:
            self.leave(entry.uid)
            self._give(entry)
            return None
        self._line_up(entry)
        self._hand_out()
        if entry.uid in self._running:
            return None
        if self._is_full(entry.namespace):
            return (
                f"Waiting for room: namespace {entry.namespace} has {self.namespace_limit} active "
                "runs (maxActiveRunsPerNamespace in the operator's settings)"
            )
        return (
            f"Waiting for room: there are {self.limit} active runs (maxActiveRuns in the "
            "operator's settings)"
        )

    def leave(self, uid: str) -> list[Entry]:
        """Take out a run that has ended or is gone; return the runs that get its room."""
        entry = self._running.pop(uid, None)
        if entry is None:
            self._take_out(uid)
            return []
        self._in_namespace[entry.namespace] -= 1
        self._of_deployment[entry.namespace, entry.deployment] -= 1
        return self._hand_out()

    def _line_up(self, entry: Entry) -> None:
        if entry.uid not in self._waiting:
            self._waiting[entry.uid] = entry
            deployments = self._lines.setdefault(entry.namespace, {})
            deployments.setdefault(entry.deployment, {})[entry.uid] = entry

    def _take_out(self, uid: str) -> Entry | None:
        """Take a run out of its line, and the line away if nobody else is in it."""
        if entry := self._waiting.pop(uid, None):
            deployments = self._lines[entry.namespace]
            del deployments[entry.deployment][uid]
            if not deployments[entry.deployment]:
                del deployments[entry.deployment]
            if not deployments:
                del self._lines[entry.namespace]
        return entry

    def _give(self, entry: Entry) -> None:
        self._running[entry.uid] = entry
        self._in_namespace[entry.namespace] += 1
        self._of_deployment[entry.namespace, entry.deployment] += 1

    def _hand_out(self) -> list[Entry]:
        """Give all room that there is; return to whom."""
        given: list[Entry] = []
        while self.limit is None or len(self._running) < self.limit:
            entry = self._next()
            if entry is None:
                break
            self._give(entry)
            given.append(entry)
        return given

    def _is_full(self, namespace: str) -> bool:
        limit = self.namespace_limit
        return limit is not None and self._in_namespace[namespace] >= limit

    def _next(self) -> Entry | None:
        """Take the run whose turn it is out of the line."""
        open_to = [
            (self._in_namespace[namespace], namespace)
            for namespace in self._lines
            if not self._is_full(namespace)
        ]
        if not open_to:
            return None
        _, namespace = min(open_to)
        oldest = (min(line.values(), key=_age) for line in self._lines[namespace].values())
        _, _, uid = min(
            (self._of_deployment[namespace, entry.deployment], _age(entry), entry.uid)
            for entry in oldest
        )
        return self._take_out(uid)
