"""Credentials come from files under known keys; what is missing is said, what is there is not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from flow_fetcher.credentials import Credentials, read_credentials
from flow_fetcher.errors import AuthenticationFailedError, FetchError, SecretNotFoundError
from flow_fetcher.plan import parse_plan
from flow_fetcher.redact import Redactor
from flow_fetcher.sources.git.auth import authorization, guess_provider
from flow_fetcher.sources.git.spec import GitSpec, read_spec

WANTED = "keys `token`"


def read(directory: Path, secret: str | None = "git-token") -> Credentials:
    return read_credentials(directory, secret, Redactor(), WANTED)


def spec(url: str = "https://git.example/x", **fields: object) -> GitSpec:
    source = {"type": "git", "git": {"url": url, **fields}}
    return read_spec(parse_plan(json.dumps({"version": 1, "source": source}).encode()))


def basic(header: str | None) -> str:
    assert header is not None
    kind, _, value = header.partition(" ")
    assert kind == "Basic"
    return base64.b64decode(value).decode()


def test_values_are_read_without_their_line_break(tmp_path: Path) -> None:
    """A file that was made with an editor ends in a line break that belongs to no token."""
    (tmp_path / "token").write_text("abc \r\n\n")
    (tmp_path / "unknown").write_text("x")
    (tmp_path / "..data").mkdir()
    credentials = read(tmp_path)
    assert credentials.get("token") == "abc "
    assert credentials.get("unknown") is None


def test_values_are_not_printed(tmp_path: Path) -> None:
    """Neither repr nor str shows a value."""
    (tmp_path / "token").write_text("s3cret")
    assert "s3cret" not in f"{read(tmp_path)!r} {read(tmp_path)}"


def test_values_are_known_to_the_redactor(tmp_path: Path) -> None:
    """From the moment of reading, no secret value passes the redactor."""
    for key in ("username", "password", "tls.key", "AWS_SECRET_ACCESS_KEY"):
        (tmp_path / key).write_text(f"value-of-{key}")
    redactor = Redactor()
    read_credentials(tmp_path, "s", redactor, WANTED)
    assert (
        redactor("value-of-password value-of-tls.key value-of-AWS_SECRET_ACCESS_KEY").split()
        == ["***"] * 3
    )
    assert redactor("value-of-username") == "value-of-username"


@pytest.mark.parametrize("kind", ["missing", "empty", "only the kubelet's"])
def test_missing_secret(tmp_path: Path, kind: str) -> None:
    """A Secret that is not there is named, with the keys that it should have."""
    directory = tmp_path / "credentials"
    if kind != "missing":
        directory.mkdir()
    if kind == "only the kubelet's":
        (directory / "..data").mkdir()
    with pytest.raises(SecretNotFoundError, match="git-token") as caught:
        read(directory)
    assert WANTED in caught.value.remedy


def test_no_secret_asked_for(tmp_path: Path) -> None:
    """Without a secretRef nothing is read, whatever lies there."""
    (tmp_path / "token").write_text("abc")
    assert read(tmp_path, None).get("token") is None


def test_binary_value(tmp_path: Path) -> None:
    """A value that is no text was encoded wrongly."""
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    with pytest.raises(SecretNotFoundError, match="not text") as caught:
        read(tmp_path)
    assert "base64" in caught.value.remedy


def test_unreadable_value(tmp_path: Path) -> None:
    """A key that cannot be read is a matter of the Pod's user."""
    (tmp_path / "token").mkdir()
    with pytest.raises(FetchError, match="cannot read") as caught:
        read(tmp_path)
    assert caught.value.reason == "FetchFailed"


def test_value_that_would_break_a_header() -> None:
    """A token of two lines is refused before it reaches the network."""
    credentials = Credentials({"token": "one\ntwo"}, "git-token")
    with pytest.raises(AuthenticationFailedError, match="line break") as caught:
        authorization(spec(), credentials)
    assert "one" not in caught.value.message.replace("one line", "")


@pytest.mark.parametrize(
    ("url", "provider", "user"),
    [
        ("https://github.com/a/b", None, "x-access-token"),
        ("https://github.acme.example/a/b", None, "x-access-token"),
        ("https://acme.ghe.com/a/b", None, "x-access-token"),
        ("https://gitlab.com/a/b", None, "oauth2"),
        ("https://gitlab.acme.example/a/b", None, "oauth2"),
        ("https://bitbucket.org/a/b", None, "x-token-auth"),
        ("https://code.acme.example/a/b", None, "x-access-token"),
        ("https://code.acme.example/a/b", "gitlab", "oauth2"),
        ("https://github.com/a/b", "bitbucket", "x-token-auth"),
        ("https://notgithub.example/a/b", None, "x-access-token"),
    ],
)
def test_user_of_a_bare_token(url: str, provider: str | None, user: str) -> None:
    """The provider decides, given or guessed by the host's name."""
    fields = {"provider": provider} if provider else {}
    header = authorization(spec(url, **fields), Credentials({"token": "t%@+/"}, "s"))
    assert basic(header) == f"{user}:t%@+/"


def test_guess_needs_a_whole_label() -> None:
    """`mygitlab.example` is not taken for a GitLab."""
    assert guess_provider("mygitlab.example") == "generic"
    assert guess_provider("GITLAB.example") == "gitlab"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"username": "ada", "password": "pw"}, "ada:pw"),
        ({"username": "ada", "token": "t"}, "ada:t"),
        ({"username": "ada", "password": "pw", "token": "t"}, "ada:pw"),
        ({"username": "ü", "password": "ß"}, "ü:ß"),
    ],
)
def test_basic(values: dict[str, str], expected: str) -> None:
    """A user name goes with either; UTF-8 is what servers expect."""
    assert basic(authorization(spec(), Credentials(values, "s"))) == expected


def test_bearer() -> None:
    """A bearer token goes before everything else."""
    values = {"bearerToken": "b", "username": "u", "password": "p"}
    assert authorization(spec(), Credentials(values, "s")) == "Bearer b"


def test_certificates_alone() -> None:
    """A Secret may be there for its certificate authority only."""
    assert authorization(spec(), Credentials({"ca.crt": "PEM"}, "s")) is None


@pytest.mark.parametrize("values", [{}, {"username": "ada"}, {"tls.crt": "x"}, {"token": ""}])
def test_incomplete_secret(values: dict[str, str]) -> None:
    """What is there does not do: the wanted keys are named."""
    with pytest.raises(SecretNotFoundError, match="git-token") as caught:
        authorization(spec(), Credentials(values, "git-token", None, tuple(values)))
    assert "`username` and `password`" in caught.value.remedy
