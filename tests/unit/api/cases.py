"""What the API accepts and refuses, as data, for the API server and for our own checks."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flow_operator.api.crd import KINDS
from flow_operator.api.schema import Schema, schema_of

GONE = object()
"""Stands for a field that is taken away."""

SHA = "8c1f6c0d" * 5
DIGEST = "ab12" * 16

GIT: dict[str, Any] = {
    "apiVersion": "flow-operator.io/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "nightly"},
    "spec": {
        "source": {
            "git": {
                "url": "https://git.example.com/acme/flows.git",
                "ref": {"branch": "main"},
                "secretRef": {"name": "github-token"},
                "provider": "github",
                "insecure": False,
                "sparseCheckout": ["pipelines", "lib/shared"],
            }
        },
        "workingDirectory": "pipelines",
        "entrypoint": "etl/nightly.py:main",
        "parameters": {"day": "2026-11-22", "deep": {"list": [1, None, {"a": 1.5}]}, "none": None},
        "image": "python:3.13-slim",
        "env": [
            {"name": "LOG_LEVEL", "value": "INFO"},
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {
                "name": "B",
                "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}},
            },
            {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        ],
        "envFrom": [
            {"prefix": "P_", "configMapRef": {"name": "c", "optional": True}},
            {"secretRef": {"name": "s"}},
        ],
        "resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": 1}},
        "fetch": {"resources": {"limits": {"memory": "256Mi"}, "requests": {"cpu": "50m"}}},
        "serviceAccountName": "flows",
        "imagePullSecrets": [{"name": "registry"}],
        "runOn": ["SpecChange"],
        "schedules": [
            {
                "name": "nightly",
                "cron": "0 3 * * MON-FRI",
                "timeZone": "Europe/Berlin",
                "jitter": "10m",
                "parameters": {"full": True, "none": None},
                "suspend": False,
            },
            {
                "name": "often",
                "interval": {"every": "1h30m", "anchor": "2026-01-01T00:30:00+01:00"},
                "suspend": False,
            },
            {
                "name": "first-friday",
                "rrule": "FREQ=MONTHLY;BYDAY=1FR;BYHOUR=9",
                "suspend": False,
            },
        ],
        "startingDeadlineSeconds": 300,
        "catchUp": "all",
        "concurrencyPolicy": "Enqueue",
        "concurrencyLimit": 2,
        "retries": {
            "limit": 3,
            "backoff": {"duration": "30s", "factor": 2, "maxDuration": "10m"},
            "reasons": ["FetchFailed", "FlowOutOfMemory"],
        },
        "activeDeadlineSeconds": 3600,
        "attemptDeadlineSeconds": 600,
        "terminationGracePeriodSeconds": 30,
        "ttlSecondsAfterFinished": 86400,
        "suspend": False,
        "pendingDeadlineSeconds": 300,
        "successfulRunsHistoryLimit": 3,
        "failedRunsHistoryLimit": 3,
    },
}
"""A FlowDeployment with every field that goes together."""

S3: dict[str, Any] = {
    "apiVersion": "flow-operator.io/v1alpha1",
    "kind": "FlowDeployment",
    "metadata": {"name": "nightly"},
    "spec": {
        "source": {
            "s3": {
                "bucket": "flows",
                "prefix": "team/etl",
                "endpoint": "https://minio.example.com",
                "region": "eu-central-1",
                "secretRef": {"name": "keys"},
                "insecure": False,
            }
        },
        "command": ["python", "-c", "print(1)"],
    },
}
"""The other source, and a command in place of the entrypoint."""


def _of(kind: str, **source: Any) -> dict[str, Any]:
    """A deployment with another source, and a Secret for it."""
    manifest = copy.deepcopy(S3)
    body = {**source, "secretRef": {"name": "keys"}, "insecure": False}
    manifest["spec"]["source"] = {kind: body}
    return manifest


ARCHIVE = _of("s3", bucket="flows", key="releases/flows.tar.gz", stripComponents=1)
GCS = _of("gcs", bucket="flows", prefix="team/etl", endpoint="https://gcs.example.com")
GCS_ARCHIVE = _of("gcs", bucket="flows", key="releases/flows.zip", stripComponents=1)
AZURE = _of(
    "azure",
    account="acmeflows",
    container="flows",
    prefix="team/etl",
    endpoint="https://acmeflows.blob.example.com",
)
AZURE_ARCHIVE = _of(
    "azure", account="acmeflows", container="flows", key="releases/flows.tgz", stripComponents=1
)
FSSPEC = _of(
    "fsspec",
    url="sftp://flows@sftp.example.com/team",
    key="etl.zip",
    stripComponents=0,
    options={"port": 2222, "deep": {"list": [1, None]}, "none": None},
)
ARCHIVES = {"s3": ARCHIVE, "gcs": GCS_ARCHIVE, "azure": AZURE_ARCHIVE}
PREFIXES = {"s3": S3, "gcs": GCS, "azure": AZURE}
"""The sources that take either the key of an archive or a prefix."""

RUN: dict[str, Any] = {
    "apiVersion": "flow-operator.io/v1alpha1",
    "kind": "FlowRun",
    "metadata": {"name": "nightly-1"},
    "spec": {
        "deploymentRef": {"name": "nightly"},
        "parameters": {"day": "2026-11-22", "deep": {"list": [1, None, {"a": 1.5}]}, "none": None},
        "env": copy.deepcopy(GIT["spec"]["env"]),
        "revision": SHA,
        "trigger": {
            "type": "Backfill",
            "schedule": "nightly",
            "scheduledTime": "2026-11-22T03:00:00Z",
        },
        "ttlSecondsAfterFinished": 600,
        "cancel": False,
    },
}
"""A FlowRun with every field."""


@dataclass(frozen=True)
class Case:
    """A change to a manifest, and the field that an error has to name; none if it is accepted."""

    name: str
    base: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    refused: str | None = None

    @property
    def manifest(self) -> dict[str, Any]:
        return changed(self.base, self.changes)

    @property
    def kind(self) -> str:
        return str(self.base["kind"])


@dataclass(frozen=True)
class Edit:
    """A change to an object that exists, in the same words."""

    name: str
    before: dict[str, Any]
    changes: dict[str, Any]
    refused: str | None = None


def changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a manifest with other values at some paths, such as `spec.env[0].name`."""
    result = copy.deepcopy(base)
    for path, value in changes.items():
        *parents, last = [
            int(part[1:-1]) if part.startswith("[") else part
            for part in re.findall(r"\[\d+\]|[^.\[\]]+", path)
        ]
        place: Any = result
        for part in parents:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return result


URL = "spec.source.git.url"
REF = "spec.source.git.ref"
S3_AT = "spec.source.s3"
INNER = "spec.env[1].valueFrom"


def _good(base: dict[str, Any], path: str, *values: Any) -> list[Case]:
    return [Case(f"{path}={value!r}"[:80], base, {path: value}) for value in values]


def _bad(base: dict[str, Any], path: str, *values: Any, at: str = "") -> list[Case]:
    return [Case(f"{path}={value!r}"[:80], base, {path: value}, at or path) for value in values]


def _ref(kind: str, *values: str, bad: bool) -> list[Case]:
    at = f"{REF}.{kind}"
    return [
        Case(f"{at}={value!r}"[:80], GIT, {REF: {kind: value}}, at if bad else None)
        for value in values
    ]


BAD_REFERENCES = (
    "-main", "--upload-pack=x", "/main", "main/", "a//b", "a..b", "..", ".", "@", "main.",
    ".hidden", "a/.hidden", "a.lock", "a.lock/b", "a b", "a\tb", "a\nb", "main\n", "a\x00b",
    "a\x7fb", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a@{1}",
)  # fmt: skip
GOOD_REFERENCES = ("main", "feature/x-1", "v1.2.3", "release_1", "ünïcode", "a@b", "#1", "1.x")

SECRET = "spec.source.git.secretRef"
SPARSE = "spec.source.git.sparseCheckout"

HOSTILE_URLS = (
    "https://user@git.example.com/x", "https://user:pw@git.example.com/x",
    "https://a@b@git.example.com/x", "https://:pw@git.example.com/x", "https://@git.example.com/x",
    "http:\\\\x@git.example.com/x", "https:/\\user@git.example.com", "https://git.example.com\\@x/y",
    "HTTPS://git.example.com/x", "Https://user:pw@git.example.com", "https:///user@host/x",
    "https://user%40git.example.com/x", "https://git.example.com:x@y/z",
    "https://git.example.com/x?access_token=t", "https://git.example.com?x@y", "https://h/x#frag",
    "https://git.example.com/a b", "https://git.example.com/a\n", "https://git.example.com/\x00",
    "https://git.example.com/\u202etig", "https://g\u0131t.example.com/x", "https://git.example.com:/x",
    "https://git.example.com:99999999/x", "https://-git.example.com/x", "https://?x@y/zzzz",
    "git://host/xyz", "file:///etc/passwd", "ssh://git:pw@host/x", "ssh://:pw@host/x",
    "ssh://@host/x", "ssh://-oProxyCommand=x/y", "ssh://git@-oProxyCommand=x/y", "ssh://git@host",
    "ssh://git@host/", "ssh://a@b@host/x", "SSH://git@host/x", "ssh://git@host:x/y",
    "ssh://git@host/x?y", "ssh://git@host/a b", "-git@host:acme/x", "git@-host:acme/x",
    "git:pw@host:acme/x", "git@host:", "git@host:-x", "git@host:a b", "git@ho st:acme", "a@b@c:d",
    "host:acme/flows.git", "../git@host:acme/x",
    "user:pw@host/acme/flows", "//git.example.com/x", "git.example.com/x", "ext::sh -c id",
    " https://git.example.com/x", "https://[::1/x", "https://[x@y]/z", "javascript:alert(1)",
)  # fmt: skip
GOOD_URLS = (
    "https://git.example.com/acme/flows.git", "https://10.97.255.1:8080/flows.git",
    "https://[2001:db8::1]:3000/x", "https://git.example.com", "https://h/~me/x.git",
    "ssh://git@host/x", "ssh://git@git.example.com:2222/acme/flows.git", "ssh://host/srv/x.git",
    "ssh://git@[2001:db8::1]:22/x", "ssh://git@h/~ada/x", "git@host:acme/flows.git",
    "git@github.com:acme/flows.git", "git@host:/srv/x.git", "a.b-c@h:x@y:z",
    "https://git.example.com/a@b/c%20d", "https://my_git.svc.cluster.local./x",
)  # fmt: skip

BAD_PATHS = ("/a", "a//b", "..", "a/../b", "./a", "a/.", "a\x00b", "a\n")


def _stores() -> Iterator[Case]:
    """Yield what the stores of objects have in common."""
    for kind, base in ARCHIVES.items():
        at = f"spec.source.{kind}"
        yield Case(f"everything with an archive in {kind}", base)
        yield Case(f"a prefix and a key in {kind}", base, {f"{at}.prefix": "a"}, at)
        yield Case(f"components stripped of objects in {kind}", base, {f"{at}.key": GONE},
                   f"{at}.stripComponents")  # fmt: skip
        yield Case(f"all of {kind}", base, {f"{at}.key": GONE, f"{at}.stripComponents": GONE})
        yield from _good(base, f"{at}.key", "flows.tgz", "a/b.tar.zst", "a/b.tar", "ü ñ.zip",
                         ".zip")  # fmt: skip
        yield from _bad(base, f"{at}.key", "a.rar", "a.zip/", "azip", "A.ZIP", "a.gz", "a.zip.sig",
                        *(f"{path}/x.zip" for path in BAD_PATHS))  # fmt: skip
    for kind, base in PREFIXES.items():
        at = f"spec.source.{kind}"
        yield Case(f"everything with {kind}", base)
        plain = {f"{at}.endpoint": "http://h:1"}
        yield Case(f"credentials over plain HTTP to {kind}", base, plain, f"{at}.endpoint")
        yield Case(f"plain HTTP to {kind} in public", base, {**plain, f"{at}.secretRef": GONE})
        yield Case(f"plain HTTP to {kind} on purpose", base, {**plain, f"{at}.insecure": True})
        yield from _bad(base, f"{at}.prefix", *BAD_PATHS)
        yield from _good(base, f"{at}.endpoint", "https://h", "https://[::1]:9000/")
        yield from _bad(base, f"{at}.endpoint", "h:9000xx", "ftp://host", "https://u:p@host",
                        "https://u@host/", "https://host/a/b", "https://host?x=y",
                        "https://h#fragment", "HTTPS://host", "https://ho st")  # fmt: skip
        yield from _bad(base, f"{at}.secretRef.name", "A", "a b", "../x")


def _fsspec() -> Iterator[Case]:
    at = "spec.source.fsspec"
    yield Case("everything with fsspec", FSSPEC)
    yield Case("the least of fsspec", FSSPEC, {at: {"url": "gs://b"}})
    yield from _good(FSSPEC, f"{at}.url", "s3://flows/team", "gs://flows", "https://h/flows/",
                     "abfs://flows@acme.dfs.core.windows.net/team", "hf://datasets/a/b",
                     "git+x://h/y")  # fmt: skip
    yield from _bad(FSSPEC, f"{at}.url", "flows", "/flows", "file:///etc/flow/credentials",
                    "local://etc", "memory://x", "S3://flows", "s3:///flows", "s3:flows",
                    "simplecache::s3://flows", "zip://a.zip::s3://flows", "dir://x", "s3://a/../b",
                    "s3://a?x=y", "s3://a#b", "s3://a b", "s3://a\n", "sftp://user:pw@host/x",
                    "sftp://:pw@host/x", "reference://x", "s3://fl\u00f6ws")  # fmt: skip
    plain = {f"{at}.url": "http://h/x"}
    yield Case("credentials over plain HTTP to fsspec", FSSPEC, plain, f"{at}.url")
    yield Case("plain HTTP to fsspec in public", FSSPEC, {**plain, f"{at}.secretRef": GONE})
    yield Case("plain HTTP to fsspec on purpose", FSSPEC, {**plain, f"{at}.insecure": True})
    yield Case("components stripped of a folder", FSSPEC, {f"{at}.key": GONE},
               f"{at}.stripComponents")  # fmt: skip
    yield from _bad(FSSPEC, f"{at}.key", "a.rar", "../x.zip", "/x.zip", "a//b.zip", "a\n/x.zip")
    yield from _good(FSSPEC, f"{at}.options", {}, {"anon": True}, {"token": "anon"})
    for name in ("password", "secret", "account_key", "connection_string", "sas_token",
                 "client_secret", "passwd", "credential"):  # fmt: skip
        yield Case(f"fsspec option {name}", FSSPEC, {f"{at}.options": {name: "x"}}, f"{at}.options")
    yield from _bad(FSSPEC, f"{at}.options", [], "x", 1)
    yield from _bad(FSSPEC, f"{at}.secretRef.name", "A", "a b")


CASES: list[Case] = [
    *_stores(),
    *_fsspec(),
    *_good(GCS, "spec.source.gcs.bucket", "my.bucket-1_x", "0ab"),
    *_bad(GCS, "spec.source.gcs.bucket", "a", "ab", "../x", "a/b", "-ab", "A-b", "a b", "ab-"),
    *_good(AZURE, "spec.source.azure.account", "abc", "0a9" * 8),
    *_bad(AZURE, "spec.source.azure.account", "ab", "A12", "a-b", "a" * 25, "a b", "abc\n"),
    *_good(AZURE, "spec.source.azure.container", "abc", "$root", "$web", "a-b-c"),
    *_bad(AZURE, "spec.source.azure.container", "ab", "A12", "a--b", "-ab", "ab-", "$x", "a/b"),
    *_good(AZURE, "spec.source.azure.endpoint", "https://h:1/acme", "https://h:1/acme/"),
    *_bad(S3, f"{S3_AT}.endpoint", "https://h/acme"),
    *_good(GIT, "spec.fetch", {}, {"resources": {"limits": {"memory": "1Gi"}}}),
    *_bad(GIT, "spec.fetch.resources.limits.memory", "1 Gi", "x", 0.5),
    *_bad(GIT, "spec.fetch.resources.requests.cpu", "m"),
    Case("everything with git", GIT),
    Case("everything with s3", S3),
    Case("everything of a run", RUN),
    Case("the least of a deployment", GIT, {
        "spec": {"source": {"git": {"url": "http://h/x"}}, "entrypoint": "m:f"}
    }),
    Case("the least of a run", RUN, {"spec": {"deploymentRef": {"name": "nightly"}}}),
    Case("null where nothing is needed", GIT, {"spec.image": None, "spec.suspend": None}),
    Case("no source", GIT, {"spec.source": {}}, "spec.source"),
    Case("two sources", GIT, {"spec.source.s3": {"bucket": "flows"}}, "spec.source"),
    Case("neither entrypoint nor command", GIT, {"spec.entrypoint": GONE}, "spec"),
    Case("entrypoint and command", GIT, {"spec.command": ["true"]}, "spec"),
    *_good(GIT, URL, *GOOD_URLS),
    *_bad(GIT, URL, *HOSTILE_URLS),
    Case("SSH without a Secret", GIT, {URL: "ssh://git@h/x", SECRET: GONE}, SECRET),
    Case("SSH without a Secret, as scp", GIT, {URL: "git@h:x", SECRET: GONE}, SECRET),
    *_good(GIT, SPARSE, ["a"], ["a/b/c", "\u00fc n", ".github"]),
    *_bad(GIT, f"{SPARSE}[0]", *BAD_PATHS, "a/", "/", "", "a" * 256),
    *_bad(GIT, SPARSE, [], ["a"] * 33),
    Case("credentials over plain HTTP", GIT, {URL: "http://h/xy"}, URL),
    Case("credentials over plain HTTP, insecure unset", GIT, {
        URL: "http://h/xy", "spec.source.git.insecure": GONE
    }, URL),
    Case("plain HTTP in public", GIT, {URL: "http://h/xy", "spec.source.git.secretRef": GONE}),
    Case("plain HTTP on purpose", GIT, {URL: "http://h/xy", "spec.source.git.insecure": True}),
    Case("credentials over plain HTTP to s3", S3, {f"{S3_AT}.endpoint": "http://h:1"},
         f"{S3_AT}.endpoint"),
    Case("plain HTTP to s3 in public", S3, {
        f"{S3_AT}.endpoint": "http://h:1", f"{S3_AT}.secretRef": GONE
    }),
    Case("plain HTTP to s3 on purpose", S3, {
        f"{S3_AT}.endpoint": "http://h:1", f"{S3_AT}.insecure": True
    }),
    Case("credentials to Amazon", S3, {f"{S3_AT}.endpoint": GONE}),
    Case("no ref is HEAD", GIT, {REF: {}}),
    Case("two refs", GIT, {f"{REF}.tag": "v1"}, REF),
    *_ref("branch", *GOOD_REFERENCES, bad=False),
    *_ref("branch", *BAD_REFERENCES, bad=True),
    *_ref("tag", *GOOD_REFERENCES, bad=False),
    *_ref("tag", *BAD_REFERENCES, bad=True),
    *_ref("name", "refs/pull/7/head", "refs/heads/main", bad=False),
    *_ref("name", "HEAD~1", "heads/main", "-refs/x", "refs/a..b", "refs/heads/x.lock", bad=True),
    *_ref("commit", SHA, DIGEST, bad=False),
    *_ref("commit", SHA[:12], SHA.upper(), SHA + "\n", SHA + "0", "HEAD", "--x", bad=True),
    *_good(S3, f"{S3_AT}.bucket", "my.bucket-1", "0ab"),
    *_bad(S3, f"{S3_AT}.bucket", "a", "../x", "a/b", "-ab", "a b", "a@b"),
    *_good(S3, f"{S3_AT}.prefix", "a", "a/b/", "a b/ü", ".hidden/x", "a..b"),
    *_bad(S3, f"{S3_AT}.prefix", "/a", "a//b", "..", "a/../b", "./a", "a/.", "a\x00b", "a\n"),
    *_good(S3, f"{S3_AT}.endpoint", "https://h", "https://h:9000", "https://[::1]:9000/"),
    *_bad(S3, f"{S3_AT}.endpoint", "h:9000xx", "ftp://host", "https://u:p@host", "https://u@host/",
          "https://host/path", "https://host?x=y", "https://h#fragment", "HTTPS://host",
          "https://ho st", "http:\\\\x@y", "https://h\n"),
    *_good(S3, f"{S3_AT}.region", "auto", "us-east-1"),
    *_bad(S3, f"{S3_AT}.region", "", "eu central", "a/b", "x" * 65),
    *_good(GIT, "spec.workingDirectory", ".", "a/b", "./a", "a..b/c", "mein ordner", "..."),
    *_bad(GIT, "spec.workingDirectory", "/etc", "..", "../x", "a/../../x", "a/..", "a\x00", "a\nb"),
    *_good(GIT, "spec.entrypoint", "m:f", "a.b.c:f", "my-flow.py:f", "a b/c.py:f", "./x.py:f",
           "x.py:Class.method", "dir.d/x.py:f", "größe.py:größe", "a.py:_f1", "..x/y.py:f"),
    *_bad(GIT, "spec.entrypoint", "main.py", "main.py:", ":main", "a.py:f()", "a.py:b:c", "a/b:f",
          "a.py:f g", "a.py:1f", "a.py:f-g", "../a.py:f", "a/../b.py:f", "/a.py:f",
          "a..b:f", "a.py:f.", ".py:f\n", "a\x00.py:f", "a\n.py:f", "x/.py:"),
    *_good(GIT, "spec.image", "python", "r.example:5000/a/b@sha256:" + DIGEST),
    *_bad(GIT, "spec.image", "", " python", "py thon", "python\n"),
    *_good(GIT, "spec.parameters", {}, {"x": {}}, {"x": []}, {"ü-1 .": None}),
    *_bad(GIT, "spec.parameters", [], "x", 1),
    *_good(GIT, "spec.env[0].name", "a", "A.B-C", "_FLOW_", "flow_x", "MY FLOW_"),
    *_bad(GIT, "spec.env[0].name", "FLOW_ATTEMPT", "FLOW_", "A=B", "A\n", "Ü"),
    *_good(GIT, "spec.env[0].value", "", "x=y\nz $(A)"),
    Case("a variable without a value", GIT, {"spec.env[0].value": GONE}),
    Case("a variable with two values", GIT, {"spec.env[1].value": "x"}, "spec.env[1].valueFrom"),
    Case("a variable from nowhere", GIT, {INNER: {}}, INNER),
    Case("a variable from two places", GIT, {f"{INNER}.fieldRef": {"fieldPath": "metadata.name"}},
         INNER),
    Case("a variable twice", GIT, {"spec.env[4]": {"name": "A"}}, "spec.env[4]"),
    *_bad(GIT, f"{INNER}.configMapKeyRef.name", "A", "a_b", "a/b", "-a", "a."),
    *_bad(GIT, f"{INNER}.configMapKeyRef.key", "a/b", "a b", "ü"),
    *_good(GIT, f"{INNER}.configMapKeyRef.key", "a.B_c-1"),
    *_bad(GIT, "spec.env[2].valueFrom.secretKeyRef.name", "A", "a_b"),
    *_bad(GIT, "spec.env[2].valueFrom.secretKeyRef.key", "a/b"),
    Case("a null variable", GIT, {"spec.env[0]": None}, "spec.env[0]"),
    Case("keys of nothing", GIT, {"spec.envFrom[0]": {}}, "spec.envFrom[0]"),
    Case("keys of two", GIT, {"spec.envFrom[0].secretRef": {"name": "s"}}, "spec.envFrom[0]"),
    *_bad(GIT, "spec.envFrom[0].prefix", "A=", "Ü"),
    *_bad(GIT, "spec.envFrom[0].configMapRef.name", "A", "../a"),
    *_bad(GIT, "spec.envFrom[1].secretRef.name", "A", "../a"),
    *_good(GIT, "spec.resources.limits.memory", "1Gi", "1.5G", "128974848", "129e6", 5, ".5"),
    *_bad(GIT, "spec.resources.limits.memory", "1 Gi", "-1Gi", "", "x", "1gb", 0.5, True),
    *_good(GIT, "spec.resources.requests.cpu", "500m", "0.5", 2),
    *_bad(GIT, "spec.resources.requests.cpu", "m", "1.1.1", {}),
    *_bad(GIT, "spec.serviceAccountName", "A", "a_b", "a/b", "a\n"),
    *_bad(GIT, "spec.imagePullSecrets[0].name", "A", "a b"),
    *_bad(GIT, "spec.source.git.secretRef.name", "A", "a b", "../x", "a..b", "a/b", "-x"),
    *_good(GIT, "spec.source.git.secretRef.name", "a.b-c", "0"),
    *_bad(S3, f"{S3_AT}.secretRef.name", "A", "a b", "../x"),
    Case("a pull secret twice", GIT, {"spec.imagePullSecrets[1]": {"name": "registry"}},
         "spec.imagePullSecrets[1]"),
    Case("a trigger twice", GIT, {"spec.runOn[1]": "SpecChange"}, "spec.runOn[1]"),
    *_good(GIT, "spec.runOn", []),
    Case("a schedule twice", GIT, {"spec.schedules[3]": {"name": "often", "cron": "@daily"}},
         "spec.schedules[3]"),
    Case("a schedule without times", GIT, {"spec.schedules[0].cron": GONE}, "spec.schedules[0]"),
    Case("a schedule with two kinds of times", GIT, {"spec.schedules[1].cron": "@daily"},
         "spec.schedules[1]"),
    Case("an interval with a time zone", GIT, {"spec.schedules[1].timeZone": "UTC"},
         "spec.schedules[1].timeZone"),
    *_bad(GIT, "spec.schedules[0].name", "A", "a.b", "-a"),
    *_good(GIT, "spec.schedules[0].cron", "@hourly", "*/5 0-6,22 L * 5#2", "0 3 ? JAN-MAR 5L"),
    *_bad(GIT, "spec.schedules[0].cron", "", "* * * *", "* * * * * *", "@every 5m", "@reboot",
          "CRON_TZ=UTC 0 3 * * *", "0 3 * * *\n", "0 3 * * $"),
    *_good(GIT, "spec.schedules[1].interval.every", "30s", "15m", "1h30m", "7d", "2w"),
    *_bad(GIT, "spec.schedules[1].interval.every", "", "0s", "5", "1.5h", "1h 30m", "-5m", "PT5M"),
    *_bad(GIT, "spec.schedules[1].interval.anchor", "2026-01-01", "2026-01-01T00:30:00"),
    *_good(GIT, "spec.schedules[2].rrule", "RRULE:FREQ=DAILY",
           "DTSTART:20260101T090000\nRRULE:FREQ=WEEKLY;BYDAY=MO,-1FR"),
    *_bad(GIT, "spec.schedules[2].rrule", "", "DAILY", "FREQ=MINUTELY", "FREQ=SECONDLY",
          "INTERVAL=2;FREQ=DAILY", "FREQ=DAILY;", "FREQ=DAILY;BYDAY=MO TU",
          "DTSTART;TZID=UTC:20260101T090000\nFREQ=DAILY"),
    *_good(GIT, "spec.schedules[0].timeZone", "UTC", "America/Argentina/Buenos_Aires", "Etc/GMT+1"),
    *_bad(GIT, "spec.schedules[0].timeZone", "../etc/passwd", "/etc", "a//b", "Europe/ Berlin"),
    *_good(GIT, "spec.schedules[0].jitter", "1s", "3600s", "60m", "1h"),
    *_bad(GIT, "spec.schedules[0].jitter", "0s", "3601s", "61m", "2h", "1d", ""),
    *_good(GIT, "spec.catchUp", "none", "latest"),
    *_good(GIT, "spec.retries", {"limit": 0}, {"limit": 1, "backoff": {}}),
    *_good(GIT, "spec.retries.reasons", ["PodFailed"], ["AttemptDeadlineExceeded"]),
    *_bad(GIT, "spec.retries.reasons[0]", "EntrypointNotFound", "Cancelled", ""),
    Case("a class twice", GIT, {"spec.retries.reasons[1]": "FetchFailed"},
         "spec.retries.reasons[1]"),
    *_bad(GIT, "spec.retries.backoff.duration", "0s", "30", "-5s"),
    *_bad(GIT, "spec.retries.backoff.maxDuration", "0s", "30", "-5s"),
    *_good(GIT, "spec.concurrencyPolicy", "Forbid", "Replace"),
    Case("any number of runs", GIT, {
        "spec.concurrencyPolicy": "Allow", "spec.concurrencyLimit": GONE
    }),
    Case("a limit where there is none", GIT, {"spec.concurrencyPolicy": "Allow"},
         "spec.concurrencyLimit"),
    Case("a limit of an unset policy", GIT, {"spec.concurrencyPolicy": GONE},
         "spec.concurrencyLimit"),
    *_good(GIT, "spec.source.git.provider", "github", "gitlab", "bitbucket", "generic"),
    *_bad(RUN, "spec.deploymentRef.name", "A", "a b", "../x"),
    *_good(RUN, "spec.revision", SHA, DIGEST, f"sha256:{DIGEST}"),
    *_bad(RUN, "spec.revision", "main", SHA[:7], SHA.upper(), f"sha1:{DIGEST}", f"{SHA}\n", "-x"),
    *_good(RUN, "spec.trigger", {"type": "SpecChange"}, {"type": "Manual"}),
    *_good(RUN, "spec.trigger.type", "Schedule", "Backfill"),
    Case("a tick of no schedule", RUN, {"spec.trigger.schedule": GONE}),
    Case("a tick without a time", RUN, {"spec.trigger.scheduledTime": GONE},
         "spec.trigger.scheduledTime"),
    Case("a time without a tick", RUN, {
        "spec.trigger": {"type": "Manual", "scheduledTime": "2026-11-22T03:00:00Z"}
    }, "spec.trigger.scheduledTime"),
    Case("a schedule without a tick", RUN, {
        "spec.trigger": {"type": "Manual", "schedule": "nightly"}
    }, "spec.trigger.schedule"),
    *_bad(RUN, "spec.trigger.schedule", "A", "a_b", "-a"),
    *_good(RUN, "spec.trigger.scheduledTime", "2026-11-22T03:00:00+05:30", "1970-01-01T00:00:00Z"),
    *_bad(RUN, "spec.trigger.scheduledTime", "2026-11-22", "2026-11-22T03:00:00",
          "2026-13-22T03:00:00Z", "2026-11-22T24:00:00Z", "2026-11-22 03:00:00Z", "now"),
    *_bad(RUN, "spec.env[0].name", "FLOW_X", "A=B"),
    Case("a run's variable with two values", RUN, {"spec.env[1].value": "x"},
         "spec.env[1].valueFrom"),
    Case("a run's variable from nowhere", RUN, {INNER: {}}, INNER),
    Case("a run's variable twice", RUN, {"spec.env[4]": {"name": "A"}}, "spec.env[4]"),
    *_bad(RUN, f"{INNER}.configMapKeyRef.name", "A"),
    *_bad(RUN, f"{INNER}.configMapKeyRef.key", "a/b"),
    *_bad(RUN, "spec.env[2].valueFrom.secretKeyRef.name", "A"),
    *_bad(RUN, "spec.env[2].valueFrom.secretKeyRef.key", "a/b"),
]  # fmt: skip

PARAMETERS = "spec.parameters"
LEAST: dict[str, Any] = changed(RUN, {"spec": {"deploymentRef": {"name": "nightly"}}})

EDITS: list[Edit] = [
    Edit("nothing", RUN, {}),
    Edit("a label", RUN, {"metadata.labels": {"a": "b"}}),
    Edit("cancel", RUN, {"spec.cancel": True}),
    Edit("cancel where it was not set", LEAST, {"spec.cancel": True}),
    Edit("cancel again", changed(RUN, {"spec.cancel": True}), {"metadata.labels": {"a": "b"}}),
    Edit("the order of variables", RUN, {"spec.env": RUN["spec"]["env"][::-1]}),
    Edit("cancel undone", changed(RUN, {"spec.cancel": True}), {"spec.cancel": False},
         "spec.cancel"),
    Edit("cancel removed", changed(RUN, {"spec.cancel": True}), {"spec.cancel": GONE},
         "spec.cancel"),
    Edit("another deployment", RUN, {"spec.deploymentRef.name": "other"}, "spec.deploymentRef"),
    Edit("no deployment", RUN, {"spec.deploymentRef": GONE}, "spec.deploymentRef"),
    Edit("another revision", RUN, {"spec.revision": SHA[::-1]}, "spec.revision"),
    Edit("no revision", RUN, {"spec.revision": GONE}, "spec.revision"),
    Edit("a revision where none was", LEAST, {"spec.revision": SHA}, "spec.revision"),
    Edit("another trigger", RUN, {"spec.trigger.type": "Schedule"}, "spec.trigger"),
    Edit("another tick", RUN, {"spec.trigger.scheduledTime": "2026-11-23T03:00:00Z"},
         "spec.trigger"),
    Edit("no trigger", RUN, {"spec.trigger": GONE}, "spec.trigger"),
    Edit("a trigger where none was", LEAST, {"spec.trigger": {"type": "Manual"}}, "spec.trigger"),
    Edit("another time to live", RUN, {"spec.ttlSecondsAfterFinished": 1},
         "spec.ttlSecondsAfterFinished"),
    Edit("a time to live where none was", LEAST, {"spec.ttlSecondsAfterFinished": 1},
         "spec.ttlSecondsAfterFinished"),
    Edit("another variable's value", RUN, {"spec.env[0].value": "x"}, "spec.env"),
    Edit("another variable's name", RUN, {"spec.env[0].name": "x"}, "spec.env"),
    Edit("one variable more", RUN, {"spec.env[4]": {"name": "x"}}, "spec.env"),
    Edit("one variable less", RUN, {"spec.env[3]": GONE}, "spec.env"),
    Edit("no variables", RUN, {"spec.env": GONE}, "spec.env"),
    Edit("an empty list of variables", RUN, {"spec.env": []}, "spec.env"),
    Edit("variables where none were", LEAST, {"spec.env": [{"name": "x"}]}, "spec.env"),
    Edit("a parameter's value", RUN, {f"{PARAMETERS}.day": "x"}, PARAMETERS),
    Edit("a parameter's type", RUN, {f"{PARAMETERS}.day": {"a": 1}}, PARAMETERS),
    Edit("a parameter to null", RUN, {f"{PARAMETERS}.day": None}, PARAMETERS),
    Edit("a parameter from null", RUN, {f"{PARAMETERS}.none": 1}, PARAMETERS),
    Edit("a parameter renamed", RUN, {
        f"{PARAMETERS}.day": GONE, f"{PARAMETERS}.night": "2026-11-22"
    }, PARAMETERS),
    Edit("a parameter of null renamed", RUN, {
        f"{PARAMETERS}.none": GONE, f"{PARAMETERS}.null": None
    }, PARAMETERS),
    Edit("one parameter more", RUN, {f"{PARAMETERS}.x": 1}, PARAMETERS),
    Edit("one parameter less", RUN, {f"{PARAMETERS}.day": GONE}, PARAMETERS),
    Edit("deep in a parameter", RUN, {f"{PARAMETERS}.deep.list[2].a": 2}, PARAMETERS),
    Edit("deep in a parameter, renamed", RUN, {f"{PARAMETERS}.deep.list[2]": {"b": 1.5}},
         PARAMETERS),
    Edit("deep in a parameter, added", RUN, {f"{PARAMETERS}.deep.list[3]": 0}, PARAMETERS),
    Edit("no parameters", RUN, {PARAMETERS: GONE}, PARAMETERS),
    Edit("empty parameters", RUN, {PARAMETERS: {}}, PARAMETERS),
    Edit("parameters where none were", LEAST, {PARAMETERS: {}}, PARAMETERS),
    Edit("parameters beside a cancel", RUN, {f"{PARAMETERS}.day": "x", "spec.cancel": True},
         PARAMETERS),
]  # fmt: skip


def generated_cases() -> Iterator[Case]:
    """Yield a case on either side of every limit that the schema states on a field."""
    models = {kind.name: kind.model for kind in KINDS}
    for base, under in (
        (GIT, "spec"),
        (S3, "spec"),
        (ARCHIVE, "spec.source"),
        (GCS, "spec.source"),
        (GCS_ARCHIVE, "spec.source"),
        (AZURE, "spec.source"),
        (AZURE_ARCHIVE, "spec.source"),
        (FSSPEC, "spec.source"),
        (RUN, "spec"),
        (changed(GIT, {REF: {"tag": "v1"}}), REF),
        (changed(GIT, {REF: {"commit": SHA}}), REF),
        (changed(GIT, {REF: {"name": "refs/pull/7/head"}}), REF),
    ):
        spec = schema_of(models[base["kind"]])["properties"]["spec"]
        for path, schema, value in places(spec, base["spec"], "spec"):
            if path.startswith(under):
                yield from _around(base, path, schema, value)


def places(schema: Schema, value: Any, path: str) -> Iterator[tuple[str, Schema, Any]]:
    """Yield every place of a manifest that has a schema: its path, its schema, its value."""
    yield path, schema, value
    if isinstance(value, dict):
        for name, inner in schema.get("properties", {}).items():
            if name in value:
                yield from places(inner, value[name], f"{path}.{name}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(schema["items"], item, f"{path}[{index}]")


_EXACT = (
    "commit", "revision", "bucket", "region", "rrule", "account", "container", "s3.key", "gcs.key",
    "azure.key", "fsspec.key",
)  # fmt: skip
"""Fields whose longest value is not a short one with letters added."""


def _around(base: dict[str, Any], path: str, schema: Schema, value: Any) -> Iterator[Case]:
    def case(what: str, other: Any, refused: str | None = path) -> Case:
        return Case(f"{base['kind']} {path} {what}", base, {path: other}, refused)

    kind = schema.get("type")
    if kind and path != "spec":
        yield case("wrong type", 7 if kind in ("object", "array", "string", "boolean") else "x")
    if kind == "object" and "properties" in schema:
        unknown = f"{path}.bogus"
        yield Case(f"{base['kind']} {unknown}", base, {unknown: 1}, unknown)
        for name in schema.get("required", ()):
            missing = f"{path}.{name}"
            yield Case(f"{base['kind']} {missing} missing", base, {missing: GONE}, missing)
    if "enum" in schema:
        yield case("not in enum", "bogus")
    if "minimum" in schema:
        yield case("minimum", schema["minimum"], None)
        yield case("below minimum", schema["minimum"] - 1)
    if "maximum" in schema:
        yield case("maximum", schema["maximum"], None)
        yield case("above maximum", schema["maximum"] + 1)
    if "minLength" in schema:
        yield case("too short", value[: schema["minLength"] - 1])
    if "maxLength" in schema:
        longest = value + "a" * (schema["maxLength"] - len(value))
        if not path.endswith(_EXACT):
            yield case("longest", longest, None)
        yield case("too long", longest + "a")
    if "minItems" in schema:
        yield case("too few", value[: schema["minItems"] - 1])
    if "maxItems" in schema:
        most = [_numbered(value[-1], index) for index in range(schema["maxItems"] + 1)]
        yield case("most", most[:-1], None)
        yield case("too many", most)


def _numbered(item: Any, index: int) -> Any:
    return {**item, "name": f"x{index}"} if "name" in item else item
