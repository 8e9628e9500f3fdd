"""What goes wrong with S3, in the user's terms.

obstore reports the server's XML within its text; only the code and the message of it are shown.
"""

from __future__ import annotations

import html
import re

from flow_fetcher.errors import (
    AuthenticationFailedError,
    FetchError,
    PathNotFoundError,
    SourceRejectedError,
    SourceUnreachableError,
)

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_REGION = re.compile(r"<Region>([\w-]+)</Region>|expecting (?:&#34;|&quot;|\"|')?([\w-]+)")
_ENDPOINT = re.compile(r"<Endpoint>([\w.-]+)</Endpoint>")
_REFUSED = frozenset(
    {
        "AccessDenied",
        "AllAccessDisabled",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
        "UnauthorizedAccess",
        "XAdminUserNotFound",
    }
)
_WRONG_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)


def explain(error: Exception, doing: str, region: str) -> FetchError:
    """Turn an error of obstore into one of ours.

    Args:
        error: What obstore raised.
        doing: What was being done, as in "cannot list …".
        region: The region that was asked, empty for the default.
    """
    if isinstance(error, FetchError):
        return error
    text = str(error)
    name = type(error).__name__
    status = int(found.group(1)) if (found := _STATUS.search(text)) else 0
    code = found.group(1) if (found := _CODE.search(text)) else ""
    said = html.unescape(found.group(1)) if (found := _MESSAGE.search(text)) else ""
    problem = (
        f"cannot {doing}: {': '.join(part for part in (code, said) if part) or status or name}"
    )
    if name == "InvalidPathError":
        return SourceRejectedError(
            f"cannot {doing}: a key is no safe path: {text.splitlines()[0]}",
            remedy="Rename or remove the object: such a key is never written.",
        )
    if name == "PreconditionError":
        return FetchError(
            f"cannot {doing}: it changed while it was fetched",
            remedy="Upload each version under a prefix of its own.",
            transient=True,
        )
    if code in _WRONG_REGION or status == 301:
        return _wrong_region(problem, text, region)
    if code in _REFUSED or status in (401, 403) or name in _REFUSED_CLASSES:
        return AuthenticationFailedError(
            problem,
            remedy="Check the keys in the Secret of secretRef, and that they may list the bucket "
            "and read its objects (s3:ListBucket, s3:GetObject).",
        )
    if code == "NoSuchBucket" or status == 404:
        return PathNotFoundError(
            problem, remedy="Correct the bucket, and the endpoint that it lies at."
        )
    if status:
        return SourceUnreachableError(problem, remedy="Look at the store's log.")
    return _no_connection(doing, text)


_REFUSED_CLASSES = ("PermissionDeniedError", "UnauthenticatedError")


def _wrong_region(problem: str, text: str, region: str) -> FetchError:
    found = _REGION.search(text)
    right = (found.group(1) or found.group(2)) if found else ""
    endpoint = _ENDPOINT.search(text)
    hint = f"Set region: {right}." if right else "Set the region that the bucket lies in."
    if not right and endpoint:
        hint = f"Set the region that the bucket lies in: its endpoint is {endpoint.group(1)}."
    return SourceUnreachableError(
        f"{problem} (asked in region {region or 'us-east-1, the default'})", remedy=hint
    )


def _no_connection(doing: str, text: str) -> FetchError:
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
        remedy="Check endpoint and region, and the cluster's DNS, network policies and proxy.",
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
