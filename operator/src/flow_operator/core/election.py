"""Which of several processes leads: one candidate's view of a Lease, and what to write into it.

The protocol is client-go's, so that its Leases look and behave as everywhere. A candidate takes the
Lease when it is free, or when it has not seen it change for as long as the holder asked for. Times
in the Lease are for people: only what a candidate's own clock says of what it has seen itself
counts, and of two that write at the same time the resourceVersion lets one through.

A holder leads for a time that is counted from when it sent its last successful renewal, and that is
shorter than what the others wait, who count from when they saw it. So no two lead at the same time,
however slow requests or processes are, while their clocks run at speeds that differ by less than a
half.

A Lease that somebody deletes is not free before its time: its holder may not know yet.
"""

from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

NEVER = float("-inf")


@dataclass(frozen=True, slots=True)
class Terms:
    """How long things last, in seconds.

    Attributes:
        lease: How long others wait after the last change that they saw, before they take over.
    """

    lease: int = 8

    @property
    def deadline(self) -> float:
        """How long a holder leads after it has sent its last successful renewal."""
        return self.lease * 5 / 8

    @property
    def renew(self) -> float:
        """How long after a renewal the next one is due."""
        return self.lease / 4

    @property
    def look(self) -> float:
        """How often others look."""
        return self.lease / 8


class Election:
    """What one candidate knows. Its time is any clock that never goes back, in seconds.

    A turn is: `saw`, if it `must_look`; then what `claim` returns is written; then `won`, if that
    succeeded. Whatever else happened, the next turn looks first.

    Args:
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Who the candidate is; nobody else, ever, has the same.
        terms: How long things last.
    """

    def __init__(self, namespace: str, name: str, identity: str, terms: Terms) -> None:
        self.terms = terms
        self._identity = identity
        self._new: Manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": namespace, "name": name},
        }
        self._seen: Manifest | None = None
        self._is_current = False
        self._free_from = NEVER
        self._leads_until = NEVER
        self._renew_at = NEVER
        self._resigned = False

    @property
    def holder(self) -> str:
        """Who held the Lease when it was last seen; empty: nobody."""
        return str(_spec(self._seen).get("holderIdentity") or "")

    @property
    def holds(self) -> bool:
        """Whether it was this candidate. It may lead no longer all the same."""
        return self.holder == self._identity

    def leads(self, now: float) -> bool:
        """Tell whether this candidate leads."""
        return now < self._leads_until

    def must_look(self, now: float) -> bool:
        """Tell whether the Lease must be read before anything is claimed."""
        return not (self._is_current and self.leads(now))

    def saw(self, lease: Manifest | None, now: float) -> None:
        """Take note of the Lease as it was read, by now; None: there is none."""
        changed = _version(lease) != _version(self._seen)
        self._seen = lease
        self._is_current = True
        if not self.holds:
            self._leads_until = NEVER
        if lease is None or not changed:
            return
        if self.holder in ("", self._identity):
            self._free_from = NEVER
        else:
            seconds = _spec(lease).get("leaseDurationSeconds")
            self._free_from = now + (seconds if isinstance(seconds, int) else self.terms.lease)

    def claim(self, now: float, time: str) -> Manifest | None:
        """Return the Lease as this candidate wants it, or None when it is not free.

        Args:
            now: Of the candidate's clock.
            time: Of the day, as the API writes it.
        """
        if self._resigned or not self._is_current or not (self.holds or now >= self._free_from):
            return None
        self._is_current = False
        old = _spec(self._seen)
        change = {"holderIdentity": self._identity, "leaseDurationSeconds": self.terms.lease}
        change["renewTime"] = time
        if not self.holds:
            change["acquireTime"] = time
            change["leaseTransitions"] = old.get("leaseTransitions", -1) + 1
        return self._changed(change)

    def won(self, lease: Manifest, sent: float) -> None:
        """Take note that a claim was written, which was sent at that time or later."""
        self._seen = lease
        self._is_current = True
        self._free_from = NEVER
        self._renew_at = sent + self.terms.renew
        if not self._resigned:
            self._leads_until = sent + self.terms.deadline

    def pause(self, now: float) -> float:
        """Return how many seconds there are until the next turn, at most."""
        if not self.leads(now):
            left = self._free_from - now
            return min(left, self.terms.look) if left > 0 else self.terms.look
        if not self._is_current:
            return self.terms.look / 4
        return max(self._renew_at - now, 0.0)

    def resign(self) -> None:
        """Lead no longer, and never again."""
        self._resigned = True
        self._leads_until = NEVER

    def release(self, time: str) -> Manifest | None:
        """Return the Lease as it lets another candidate take over at once; None: it is not ours."""
        if not self.holds:
            return None
        change = {"holderIdentity": "", "leaseDurationSeconds": 1}
        return self._changed(change | {"renewTime": time, "acquireTime": time})

    def _changed(self, spec: Manifest) -> Manifest:
        """Return the Lease that was seen, or a new one, with another spec."""
        lease = self._seen or self._new
        meta = {key: lease["metadata"][key] for key in lease["metadata"] if key != "managedFields"}
        return {**lease, "metadata": meta, "spec": _spec(lease) | spec}


def _spec(lease: Manifest | None) -> Manifest:
    return (lease or {}).get("spec") or {}


def _version(lease: Manifest | None) -> tuple[str, str] | None:
    meta = (lease or {}).get("metadata")
    return (meta["uid"], meta["resourceVersion"]) if meta else None
