"""Every way a fetch can end badly: one class for each reason of the contract.

An error says what failed and where (its message) and what the user can do (its remedy). The reason
is the constant that the operator shows in `kubectl get`; `docs/contracts.md` lists them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class FetchError(Exception):
    """A fetch failed for a cause that has no class of its own.

    Args:
        message: What failed, and where.
        remedy: What the user can do about it.
        transient: Whether the same fetch may succeed a moment later.
        retry_after: How many seconds the server asked to be left alone for.
    """

    reason: ClassVar[str] = "FetchFailed"

    def __init__(
        self,
        message: str,
        *,
        remedy: str = "",
        transient: bool = False,
        retry_after: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.transient = transient
        self.retry_after = retry_after


class InvalidPlanError(FetchError):
    """The plan cannot be carried out as it is written."""

    reason = "InvalidPlan"


class SecretNotFoundError(FetchError):
    """The Secret, or a key that the source needs, is not there."""

    reason = "SecretNotFound"


class AuthenticationFailedError(FetchError):
    """The server refuses these credentials, or wants some."""

    reason = "AuthenticationFailed"


class RevisionNotFoundError(FetchError):
    """The branch, tag, reference or commit does not exist at the source."""

    reason = "RevisionNotFound"


class RevisionChangedError(FetchError):
    """The source no longer holds what an earlier attempt fetched."""

    reason = "RevisionChanged"


class PathNotFoundError(FetchError):
    """The bucket, the prefix or the working directory does not exist."""

    reason = "PathNotFound"


class EntrypointNotFoundError(FetchError):
    """The tree has no file for the entrypoint."""

    reason = "EntrypointNotFound"


class SourceUnreachableError(FetchError):
    """The server cannot be reached, or does not speak the expected protocol."""

    reason = "SourceUnreachable"


class SourceRejectedError(FetchError):
    """The content is hostile or broken, or passes a limit."""

    reason = "SourceRejected"
