"""What an HTTP status of a git server means for the user."""

from __future__ import annotations

from flow_fetcher.errors import AuthenticationFailedError, SourceUnreachableError
from flow_fetcher.sources.git.http import Response, Server

_AUTHENTICATION_REMEDIES = {
    401: "The server wants a valid user name and token or password: correct those in secretRef.",
    403: "The credentials may be valid but may not read this repository: give the token read "
    "access to its contents.",
    404: "Check the URL. Many servers also answer 404 for a private repository when the "
    "credentials are missing or wrong: check secretRef and what the token may read.",
}
_REMEDIES = {407: "Check the user name and password of the proxy.", 429: "Fetch less often."}


def check_status(response: Response, server: Server) -> None:
    """Turn an answer that is no success into an error.

    Raises:
        AuthenticationFailedError: The server wants credentials, or other ones.
        SourceUnreachableError: The server cannot answer now, or not to this.
    """
    status = response.status
    if status == 200:
        return
    said = response.text()
    text = f"{server.url} answered {status}" + (f": {said}" if said else "")
    if status in _AUTHENTICATION_REMEDIES:
        whose = f"the credentials of Secret {server.secret_name}"
        text += f", to {whose if server.secret_name else 'a request without credentials'}"
        raise AuthenticationFailedError(text, remedy=_AUTHENTICATION_REMEDIES[status])
    raise SourceUnreachableError(
        text,
        remedy=_REMEDIES.get(status, "Check the URL, and the log of the git server."),
        transient=status == 429 or status >= 500,
        retry_after=response.retry_after,
    )
