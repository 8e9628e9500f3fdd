"""What goes wrong with an object store, in the user's terms: S3, Google's and Azure's alike.

obstore reports the server's answer within its text; only the code and the message of it are shown.
"""

from __future__ import annotations

import json
import re

from flow_fetcher.errors import (
    AuthenticationFailedError,
    FetchError,
    PathNotFoundError,
    SourceRejectedError,
    SourceUnreachableError,
)
from flow_fetcher.record import Record


class Words(Record):
    """How messages about one kind of store speak.

    Attributes:
        access: What to check when the store refuses: whose keys, and which permissions.
        place: What to correct when the bucket does not exist.
        address: The fields that say where the store is.
    """

    access: str
    place: str = "Correct the bucket, and the endpoint that it lies at."
    address: str = "endpoint"


_STATUS = re.compile(r"status code: (\d{3})|HTTP status \w* ?error \((\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_JSON = re.compile(r"\{\s*\"(?:error|code)\".*\}", re.DOTALL)
_REFUSED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "AuthenticationFailed",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidAuthenticationInfo",
        "InvalidToken",
        "NoAuthenticationInformation",
        "PublicAccessNotPermitted",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
        "XAdminUserNotFound",
    }
)
_REFUSED_CLASSES = ("PermissionDeniedError", "UnauthenticatedError")
_GONE = frozenset({"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"})


def explain(error: Exception, doing: str, words: Words) -> FetchError:
    """Turn an error of obstore into one of ours.

    Args:
        error: What obstore raised.
        doing: What was being done, as in "cannot list …".
        words: Those for this kind of store.
    """
    if isinstance(error, FetchError):
        return error
    text = str(error)
    name = type(error).__name__
    status = status_of(text)
    code, said = code_of(text), _said(text)
    problem = (
        f"cannot {doing}: {': '.join(part for part in (code, said) if part) or status or name}"
    )
    if name == "InvalidPathError":
        return SourceRejectedError(
            f"cannot {doing}: a key is no safe path: {text.splitlines()[0]}",
            remedy="Rename or remove the object: such a key is never written.",
        )
    if name == "PreconditionError":
        return changed(doing)
    if code in _REFUSED or status in (401, 403) or name in _REFUSED_CLASSES:
        return AuthenticationFailedError(problem, remedy=words.access)
    if code in _GONE or status == 404 or isinstance(error, FileNotFoundError):
        return PathNotFoundError(problem, remedy=words.place)
    if status:
        return SourceUnreachableError(
            problem,
            remedy=f"Look at the store's log, and check {words.address}.",
            transient=is_busy(text),
        )
    return _no_connection(doing, text, words)


def changed(doing: str) -> FetchError:
    """The error for an object that is not the one that was listed."""
    return FetchError(
        f"cannot {doing}: it changed while it was fetched",
        remedy="Upload each version under a name of its own.",
        transient=True,
    )


def gone(text: str) -> bool:
    """Whether the server says that the bucket itself does not exist."""
    return code_of(text) in _GONE


def is_busy(text: str) -> bool:
    """Whether the server asks for fewer requests."""
    return status_of(text) in (429, 503)


def code_of(text: str) -> str:
    """The server's own name for the error, or nothing."""
    return found.group(1) if (found := _CODE.search(text)) else ""


def status_of(text: str) -> int:
    """The HTTP status, 0 where there was no answer."""
    found = _STATUS.search(text)
    return int(found.group(1) or found.group(2)) if found else 0


def _said(text: str) -> str:
    """The server's words, on one line."""
    if found := _MESSAGE.search(text):
        import html  # its table of names is large

        # Azure adds lines with the request's number and the time.
        return html.unescape(found.group(1)).strip().partition("\n")[0]
    if found := _JSON.search(text):
        try:
            answer = json.loads(found.group(0))
        except ValueError:
            return ""
        inner = answer.get("error")
        said = inner.get("message") if isinstance(inner, dict) else answer.get("message")
        return " ".join(str(said or answer.get("error_description") or inner or "").split())[:300]
    return ""


def _no_connection(doing: str, text: str, words: Words) -> FetchError:
    lower = text.lower()
    if "unknownissuer" in lower or "invalid peer certificate" in lower or "certverif" in lower:
        return SourceUnreachableError(
            f"cannot {doing}: the server's certificate is not trusted",
            remedy="If it comes from a private authority, put the authority's certificate (PEM) "
            "under `ca.crt` into the Secret of secretRef.",
        )
    cause = "no connection"
    for word, meaning in _CAUSES.items():
        if word in lower:
            cause = meaning
            break
    return SourceUnreachableError(
        f"cannot {doing}: {cause}",
        remedy=f"Check {words.address}, and the cluster's DNS, network policies and proxy.",
    )


_CAUSES = {
    "dns error": "the host has no address",
    "connection refused": "connection refused",
    "timedout": "no answer in time",
    "timed out": "no answer in time",
    "connection reset": "the connection was reset",
    "incompletemessage": "the server broke off its answer",
    "end of file": "the server broke off its answer",
}
