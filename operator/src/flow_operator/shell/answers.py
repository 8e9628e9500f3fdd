"""Reads the API server's refusals: which cause an HTTP status and its `Status` body stand for."""

import json
import re
from typing import Any

from flow_operator.shell.errors import (
    AdmissionDeniedError,
    AlreadyExistsError,
    ClusterError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NamespaceGoneError,
    NotFoundError,
    UnavailableError,
)

_MAX_MESSAGE = 2048

_ADMISSION = re.compile(r"admission webhook .+ denied the request|denied request:|exceeded quota:")
"""Words of webhooks, ValidatingAdmissionPolicies and quotas, whatever status they chose."""

_RBAC = re.compile(r'cannot [a-z]+ resource "')
"""Words of the authorizer, the only 403 that is about the operator and not about the object."""


def error_of(
    request: str, status: int, body: bytes, retry_after: str | None = None
) -> ClusterError:
    """Return the error for an answer with a status of 400 or more.

    Args:
        request: What was asked, for when the answer has no words.
        status: The HTTP status.
        body: The body, which may be anybody's.
        retry_after: The header of that name.
    """
    answer = _status_object(body)
    reason = str(answer.get("reason", ""))
    message = str(answer.get("message") or f"{request}: HTTP status {status}")[:_MAX_MESSAGE]
    details = answer.get("details")
    details = details if isinstance(details, dict) else {}

    if status == 429 or status >= 500:
        return UnavailableError(f"{message} (HTTP status {status})", _seconds(retry_after))
    if _ADMISSION.search(message):
        return AdmissionDeniedError(message)
    match status:
        case 401:
            return UnavailableError(
                f"The API server does not take the operator's credentials: {message}"
            )
        case 403 if _is_terminating(details):
            return NamespaceGoneError(message)
        case 403:
            return (
                ForbiddenError(message) if _RBAC.search(message) else AdmissionDeniedError(message)
            )
        case 404:
            gone = details.get("kind") == "namespaces"
            return NamespaceGoneError(message) if gone else NotFoundError(message)
        case 409:
            return (
                AlreadyExistsError(message) if reason == "AlreadyExists" else ConflictError(message)
            )
        case 410:
            return NotFoundError(message)
    return InvalidError(message)


def _is_terminating(details: dict[str, Any]) -> bool:
    causes = details.get("causes")
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("reason") == "NamespaceTerminating"
        for cause in causes
    )


def _status_object(body: bytes) -> dict[str, Any]:
    """Return the body if it is a `Status`; proxies in between answer with anything."""
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _seconds(retry_after: str | None) -> float | None:
    try:
        return max(float(retry_after or ""), 0.0)
    except ValueError:
        return None
