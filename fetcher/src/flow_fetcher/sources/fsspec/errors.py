"""What goes wrong with fsspec's file systems, in the user's terms.

Each library has errors of its own; they are told apart by name and text, for none of them may be
imported here.
"""

from __future__ import annotations

import asyncio
import re

from flow_fetcher.errors import (
    AuthenticationFailedError,
    FetchError,
    PathNotFoundError,
    SourceUnreachableError,
)
from flow_fetcher.names import shown

FULL_IMAGE = (
    "Let the operator's setting fetcherFullImage name an image with the packages that this file "
    "system needs; flow-fetcher-full has those of s3://, gs:// and abfs://."
)
_ACCESS = (
    "Check the credentials in the Secret of secretRef, or the identity of serviceAccountName, and "
    "that they may list and read the folder."
)
_LONGEST = 300
_REFUSED = re.compile(
    r"NoCredentials|PartialCredentials|ClientAuthentication|PermissionError|AuthenticationError"
    r"|RefreshError|DefaultCredentials|AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId"
    r"|AuthenticationFailed|NoAuthenticationInformation|AuthorizationFailure|Unauthorized|Forbidden"
    r"|PublicAccessNotPermitted|\b40[13]\b|Anonymous|Incorrect padding|access key Id"
)
_ABSENT = re.compile(r"FileNotFound|NoSuchBucket|ContainerNotFound|ResourceNotFound|\b404\b")
_NO_CONNECTION = re.compile(
    r"Connect|Timeout|ServiceRequestError|DNS|Name or service|gaierror|ServerDisconnected"
    r"|IncompleteRead|ContentLength|SSL|certificate"
)


def explain(error: Exception, url: str) -> FetchError:
    """Turn an error of a file system into one of ours.

    Args:
        error: What was raised.
        url: What was being read.
    """
    if isinstance(error, FetchError):
        return error
    text = f"{type(error).__name__}: {error}"
    for cause in (error.__cause__, error.__context__):
        text += f"; {type(cause).__name__}: {cause}" if cause else ""
    first = str(error).strip().partition("\n")[0][:_LONGEST] or type(error).__name__
    problem = f"cannot read {url}: {first}"
    if isinstance(error, ImportError):
        return FetchError(problem, remedy=FULL_IMAGE)
    if "certificate" in text.lower():
        return SourceUnreachableError(
            f"cannot read {url}: the server's certificate is not trusted",
            remedy="If it comes from a private authority, put the authority's certificate (PEM) "
            "under `ca.crt` into the Secret of secretRef.",
        )
    if _REFUSED.search(text):
        return AuthenticationFailedError(problem, remedy=_ACCESS)
    if _ABSENT.search(text):
        return PathNotFoundError(problem, remedy="Correct the url.")
    if isinstance(error, TimeoutError | asyncio.TimeoutError) or _NO_CONNECTION.search(text):
        return SourceUnreachableError(
            problem,
            remedy="Check the url, the options, and the cluster's DNS, network policies and proxy.",
        )
    return FetchError(
        f"cannot read {url}: {type(error).__name__}: {first}",
        remedy="Check the url and the options of the file system.",
    )


def changed(url: str) -> FetchError:
    """The error for what is no longer what was listed."""
    return FetchError(
        f"cannot read {url}: it changed while it was fetched",
        remedy="Upload each version under a name of its own.",
        transient=True,
    )


def wrong_size(url: str, path: bytes, size: int) -> FetchError:
    """The error for a file that is longer or shorter than listed."""
    return FetchError(
        f"file {shown(path)} of {url} does not have the {size} bytes listed",
        remedy="Look at the store, or try again: it may have changed meanwhile.",
        transient=True,
    )
