"""What the plan says of a git repository, checked."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from flow_fetcher.fields import Fields, invalid
from flow_fetcher.plan import Plan
from flow_fetcher.record import Record

PROVIDERS = ("github", "gitlab", "bitbucket", "generic")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_HOST = r"(?P<host>[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?|\[[0-9A-Fa-f:.]+\])"
_USER = r"(?P<user>[A-Za-z0-9_][A-Za-z0-9_.-]*)"
_PATH = r"[^\s?#\\]*"
_SSH_URL = rf"ssh://(?:{_USER}@)?{_HOST}(?::(?P<port>[0-9]{{1,5}}))?(?P<path>/{_PATH})"
# Neither a slash before the colon, which would be a local path, nor a dash behind it, an option.
_SCP = rf"{_USER}@{_HOST}:(?P<port>(?!))?(?P<path>[^\s?#\\:-]{_PATH})"
_KINDS = ("branch", "tag", "commit", "name")
# What `git check-ref-format` refuses, as far as it could do harm in a request.
_BAD_REFERENCE = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^/|/$|\.lock$|\.$")


class Ref(Record):
    """A full reference name to look up; `label` is the user's words for it."""

    name: str
    label: str


HEAD = Ref("HEAD", "HEAD")


class SSHAddress(Record):
    """Where a repository is on an SSH server; `path` is as the server's git gets it."""

    user: str
    host: str
    port: int
    path: str


class GitSpec(Record):
    """One repository, and what to fetch from it.

    Attributes:
        url: Without password, query and trailing slash.
        ref: What to resolve, or None where `commit` is known.
        ssh: Where it is, unless it is reached over HTTP.
        directories: What of it is wanted; empty for everything.
    """

    url: str
    host: str
    ref: Ref | None
    commit: str | None
    provider: str | None
    ssh: SSHAddress | None = None
    directories: tuple[bytes, ...] = ()


def read_spec(plan: Plan) -> GitSpec:
    """Read `source.git` of the plan.

    Raises:
        InvalidPlanError: A field has a wrong value.
    """
    fields = plan.source
    text = fields.text("url").rstrip("/")
    ssh = _ssh(plan, text) if text.startswith("ssh://") or re.fullmatch(_SCP, text) else None
    url, host = (text, ssh.host) if ssh else _http(plan, text)
    provider = fields.optional_text("provider") or None
    if provider is not None and provider not in PROVIDERS:
        raise invalid(fields.name("provider"), f"must be one of {', '.join(PROVIDERS)}")
    ref, commit = _wanted(plan, fields.optional_fields("ref"))
    return GitSpec(
        url=url,
        host=host,
        ref=ref,
        commit=commit,
        provider=provider,
        ssh=ssh,
        directories=_directories(fields),
    )


def _http(plan: Plan, text: str) -> tuple[str, str]:
    """The URL and its host."""
    url_field = plan.source.name("url")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise invalid(url_field, str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise invalid(
            url_field, "must begin with https://, http:// or ssh://, or be like git@host:path"
        )
    if "@" in parts.netloc:
        raise invalid(url_field, "must not hold a user name or password: use secretRef")
    if parts.query or parts.fragment:
        raise invalid(url_field, "must have neither query nor fragment")
    if not host or re.search(r"[\s%]", parts.netloc) or re.search(r"\s", parts.path):
        raise invalid(url_field, "must be a URL with a host and without spaces")
    insecure = plan.source.flag("insecure")
    if parts.scheme == "http" and plan.secret_name and not insecure:
        raise invalid(
            url_field, "sends credentials over plain HTTP: use https:// or insecure: true"
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", host


def _ssh(plan: Plan, text: str) -> SSHAddress:
    """Both spellings: after `host:` a path begins at the user's home, after `ssh://host` at `/`."""
    url_field = plan.source.name("url")
    match = re.fullmatch(_SSH_URL if text.startswith("ssh://") else _SCP, text)
    if match is None:
        raise invalid(
            url_field,
            "must be like ssh://git@host/path or git@host:path, without a password, a query or "
            "spaces",
        )
    if plan.secret_name is None:
        raise invalid(url_field, "needs secretRef: SSH takes a key, and the host's own key")
    user, host, port, path = match["user"] or "git", match["host"], match["port"], match["path"]
    if text.startswith("ssh://") and path.startswith("/~"):
        path = path[1:]
    if port and not 0 < int(port) < 1 << 16:
        raise invalid(url_field, "has a port that is none")
    return SSHAddress(user, host.strip("[]"), int(port or 22), path)


def _directories(fields: Fields) -> tuple[bytes, ...]:
    field = fields.name("sparseCheckout")
    directories = []
    for text in fields.texts("sparseCheckout"):
        parts = text.split("/")
        if "" in parts or "." in parts or ".." in parts:
            raise invalid(field, f"{text!r} must be a directory within the repository")
        directories.append(text.encode())
    return tuple(directories)


def _wanted(plan: Plan, fields: Fields) -> tuple[Ref | None, str | None]:
    given = [kind for kind in _KINDS if fields.has(kind)]
    if len(given) > 1:
        raise invalid(fields.name(given[1]), f"cannot stand beside {given[0]}")
    ref, commit = HEAD, None
    if given == ["commit"]:
        commit = _commit(fields.name("commit"), fields.text("commit"))
    elif given:
        ref = _ref(fields, given[0])
    if plan.revision:
        commit = _commit("revision", plan.revision)
    return (None, commit) if commit else (ref, None)


def _ref(fields: Fields, kind: str) -> Ref:
    value = fields.text(kind)
    field = fields.name(kind)
    if _BAD_REFERENCE.search(value) or value.startswith("-"):
        raise invalid(field, f"{value!r} is not a name that git allows")
    if kind == "name":
        if value != "HEAD" and not value.startswith("refs/"):
            raise invalid(field, f"{value!r} must be a full reference such as refs/pull/7/head")
        return Ref(value, f"reference {value}")
    prefix = {"branch": "refs/heads/", "tag": "refs/tags/"}[kind]
    return Ref(prefix + value.removeprefix(prefix), f"{kind} {value}")


def _commit(field: str, value: str) -> str:
    value = value.lower()
    if not _COMMIT.fullmatch(value):
        raise invalid(field, f"{value!r} must be a full commit SHA of 40 or 64 hex digits")
    return value
