"""What happens when an attempt fails: which failures are tried again, how often and how soon."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, WithJsonSchema

from flow_operator.api.v1alpha1.conditions import Reason
from flow_operator.api.v1alpha1.meta import DURATION, Model


class FailureClass(StrEnum):
    """The classes of failures that `retries.reasons` names."""

    FETCH_FAILED = "FetchFailed"
    """The code could not be fetched."""
    FLOW_FAILED = "FlowFailed"
    """The code ran and failed."""
    POD_FAILED = "PodFailed"
    """The Pod was lost or could not be started."""
    ATTEMPT_DEADLINE_EXCEEDED = "AttemptDeadlineExceeded"
    """The attempt took longer than attemptDeadlineSeconds."""


CLASS_OF = {
    Reason.AUTHENTICATION_FAILED: FailureClass.FETCH_FAILED,
    Reason.REVISION_NOT_FOUND: FailureClass.FETCH_FAILED,
    Reason.PATH_NOT_FOUND: FailureClass.FETCH_FAILED,
    Reason.SOURCE_UNREACHABLE: FailureClass.FETCH_FAILED,
    Reason.FETCH_OUT_OF_MEMORY: FailureClass.FETCH_FAILED,
    Reason.FETCH_FAILED: FailureClass.FETCH_FAILED,
    Reason.FLOW_FAILED: FailureClass.FLOW_FAILED,
    Reason.FLOW_OUT_OF_MEMORY: FailureClass.FLOW_FAILED,
    Reason.POD_LOST: FailureClass.POD_FAILED,
    Reason.CONTAINER_START_FAILED: FailureClass.POD_FAILED,
    Reason.ATTEMPT_DEADLINE_EXCEEDED: FailureClass.ATTEMPT_DEADLINE_EXCEEDED,
}
"""The class of each reason that another attempt may mend.

A reason without a class ends the run: the next attempt, pinned to the same revision, would end the
same way (EntrypointNotFound, InvalidParameters, RevisionChanged, SourceRejected), or the reason is
about the run as a whole (Cancelled, DeadlineExceeded, what has waited for pendingDeadlineSeconds).
Disrupted and SecretNotFound have none because they are tried again in any case and do not count:
the one up to ten times, the other until pendingDeadlineSeconds.
"""

RETRIABLE = sorted({*map(str, FailureClass), *map(str, CLASS_OF)})
"""What `retries.reasons` takes: classes, and single reasons of them.

The field is not called `on`: kubectl reads that word in YAML as true.
"""

Retriable = Annotated[str, WithJsonSchema({"type": "string", "enum": RETRIABLE})]


class Backoff(Model):
    """How long to wait before the next attempt; up to a tenth is added, so that runs spread."""

    duration: str = Field(
        default="10s", description="Before the first retry, such as 30s or 5m.", pattern=DURATION
    )
    factor: int = Field(
        default=2,
        description="How many times longer each wait is than the one before.",
        ge=1,
        le=10,
        json_schema_extra={"format": "int32"},
    )
    max_duration: str = Field(
        default="10m", description="The longest wait, such as 10m.", pattern=DURATION
    )


class Retries(Model):
    """Which failed attempts are followed by another one, and how many.

    Every attempt runs what the first one ran: the same spec, and the same revision once it is
    known.
    """

    limit: int = Field(
        description="How many attempts may follow the first one.",
        ge=0,
        le=100,
        json_schema_extra={"format": "int32"},
    )
    backoff: Backoff | None = Field(
        default=None, description="How long to wait. Unset: 10s, then twice as long, at most 10m."
    )
    reasons: list[Retriable] | None = Field(
        default=None,
        description=(
            "Which failures are tried again: classes (FetchFailed, FlowFailed, PodFailed, "
            "AttemptDeadlineExceeded) or single reasons of them. Unset: all classes. What another "
            "attempt cannot mend is never tried again."
        ),
        min_length=1,
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )

    def covers(self, reason: Reason) -> bool:
        """Whether a failure of that reason is tried again."""
        kind = CLASS_OF.get(reason)
        if kind is None:
            return False
        return self.reasons is None or kind in self.reasons or reason in self.reasons
