"""Every refusal of the API server becomes the error of its cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_operator.shell.answers import error_of
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


def status(reason: str, message: str, **details: Any) -> bytes:
    body = {"kind": "Status", "reason": reason, "message": message, "details": details}
    return json.dumps(body).encode()


ASKED = "GET /x"
QUOTA = 'jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1'
POD_SECURITY = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot'
WEBHOOK = 'admission webhook "policy.example.com" denied the request: no such image'
POLICY = "jobs.batch \"x\" is forbidden: ValidatingAdmissionPolicy 'p' denied request: no"
RBAC = 'jobs.batch is forbidden: User "u" cannot create resource "jobs" in API group "batch"'
TERMINATING = 'jobs.batch "x" is forbidden: unable to create new content in namespace n'


@pytest.mark.parametrize(
    ("code", "body", "expected"),
    [
        (409, status("AlreadyExists", "jobs x already exists"), AlreadyExistsError),
        (409, status("Conflict", "the object has been modified"), ConflictError),
        (404, status("NotFound", "jobs x not found", kind="jobs"), NotFoundError),
        (404, status("NotFound", "namespaces n not found", kind="namespaces"), NamespaceGoneError),
        (404, b"404 page not found", NotFoundError),
        (
            403,
            status("Forbidden", TERMINATING, causes=[{"reason": "NamespaceTerminating"}]),
            NamespaceGoneError,
        ),
        (403, status("Forbidden", RBAC), ForbiddenError),
        (403, status("Forbidden", QUOTA), AdmissionDeniedError),
        (403, status("Forbidden", POD_SECURITY), AdmissionDeniedError),
        (400, status("BadRequest", WEBHOOK), AdmissionDeniedError),
        (422, status("Invalid", POLICY), AdmissionDeniedError),
        (422, status("Invalid", "spec.template: Invalid value"), InvalidError),
        (400, status("BadRequest", 'strict decoding error: unknown field "x"'), InvalidError),
        (413, b"", InvalidError),
        (401, status("Unauthorized", "Unauthorized"), UnavailableError),
        (500, status("InternalError", "etcdserver: request timed out"), UnavailableError),
        (503, b"<html>a proxy</html>", UnavailableError),
        (429, status("TooManyRequests", "try later"), UnavailableError),
    ],
)
def test_cause(code: int, body: bytes, expected: type[ClusterError]) -> None:
    assert type(error_of(ASKED, code, body)) is expected


def test_the_message_is_the_servers_own_and_bounded() -> None:
    assert str(error_of(ASKED, 422, status("Invalid", "spec.x: no"))) == "spec.x: no"
    assert len(str(error_of(ASKED, 422, status("Invalid", "x" * 10_000)))) < 3000


def test_the_body_of_what_is_no_status_is_not_repeated() -> None:
    """A proxy in between may answer with anything, secrets of others included."""
    error = error_of(ASKED, 403, b'{"kind": "Secret", "message": "s3cret"}')
    assert str(error) == "GET /x: HTTP status 403"


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("soon", None)])
def test_how_long_to_wait(header: str, seconds: float | None) -> None:
    error = error_of(ASKED, 429, b"", header)
    assert isinstance(error, UnavailableError)
    assert error.retry_after == seconds
