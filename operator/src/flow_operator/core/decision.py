"""What a decision can ask of the shell: a few writes, in order, and when to look again."""

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class CreateRun:
    """Create a FlowRun. One of that name with the same controller counts as created.

    Attributes:
        manifest: The object.
        optional: Whether a refusal is none of this decision's business: another one tries again.
    """

    manifest: dict[str, Any]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Create a Job. One of that name with the same controller counts as created.

    Attributes:
        manifest: The object.
        optional: Whether a refusal is none of this decision's business: another one tries again.
    """

    manifest: dict[str, Any]
    optional: bool = False


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """Stop the Pods of a Job and keep the Job: set `spec.suspend` on the object of that UID."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Cancel the FlowRun of that UID, and note which run it makes room for."""

    name: str
    uid: str
    replaced_by: str


@dataclass(frozen=True, slots=True)
class DeleteRun:
    """Delete a FlowRun and, in the background, what it owns; only the object of that UID.

    Attributes:
        name: Of the FlowRun.
        uid: Its UID.
        unless_job: Name of a Job that keeps it from being deleted; asked for first.
    """

    name: str
    uid: str
    unless_job: str | None = None


@dataclass(frozen=True, slots=True)
class WriteStatus:
    """Replace the status of the object that was decided on, unless it has changed since."""

    status: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EmitEvent:
    """Record an Event about the object that was decided on; a name that exists is done already."""

    name: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    action: str


Action = CreateRun | CreateJob | SuspendJob | CancelRun | DeleteRun | WriteStatus | EmitEvent


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about an object.

    Attributes:
        actions: The writes to make, in order.
        requeue_after: In how many seconds to decide anew; None: on a change.
        commits: Whether it cannot be taken back: it creates a run, or gives up a tick.
        may_wait: Whether the writes only say how far a run is, so that they may wait for more.
        pressing: How many of the actions others wait for; the rest only puts on record, and may be
            decided anew when there is less to do.
    """

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None
    commits: bool = False
    may_wait: bool = False
    pressing: int | None = None

    @property
    def ends_run(self) -> bool:
        """Whether the run that was decided on is over once this is carried out."""
        return any(
            isinstance(action, WriteStatus) and "completionTime" in action.status
            for action in self.actions
        )


@dataclass(frozen=True, slots=True)
class Refusal:
    """The API server's answer to a create that cannot go on as it is.

    Attributes:
        reason: Condition reason: NameConflict, InvalidSpec or AdmissionDenied.
        message: The server's words.
        final: Whether the same create can never succeed.
    """

    reason: str
    message: str
    final: bool
