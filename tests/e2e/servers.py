"""Real servers in the cluster: git's own smart HTTP backend behind HTTPS, and S3."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import trustme

from tests.cluster import Cluster

NAMESPACE = "e2e-servers"
GIT_HOST = f"git.{NAMESPACE}.svc"
S3_HOST = f"s3.{NAMESPACE}.svc"
USER = "x-access-token"
TOKEN = "t0k%en@with+slash/and~tail9Q"
ACCESS_KEY = "AKIAFLOWTESTKEY00001"
SECRET_KEY = "s3cr%et@with+slash/and~tail7Z"

_AUTHOR = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (
        ("NAME", "Test"),
        ("EMAIL", "test@example.com"),
        ("DATE", "2026-01-01T00:00:00Z"),
    )
}


@dataclass(frozen=True)
class Servers:
    """The running servers."""

    cluster: Cluster
    ca: str
    """The certificate authority of the git server, PEM."""

    @classmethod
    def start(cls, cluster: Cluster) -> Servers:
        """Start both, and wait until they answer."""
        authority = trustme.CA()
        certificate = authority.issue_cert(GIT_HOST)
        secret = {
            "tls.crt": b"".join(c.bytes() for c in certificate.cert_chain_pems).decode(),
            "tls.key": certificate.private_key_pem.bytes().decode(),
            "htpasswd": f"{USER}:{{PLAIN}}{TOKEN}\n",
        }
        cluster.run("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=90s")
        image = cluster.images["flow-test-servers"]
        objects = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            _object("Secret", "git-server", stringData=secret),
            _object("Secret", "s3-server", stringData={"access": ACCESS_KEY, "secret": SECRET_KEY}),
            *_server("git", image, ["serve-git"], 8443, {"/srv/git": "emptyDir"}),
            *_server(
                "s3",
                image,
                ["versitygw", "--port", ":7070", "posix", "/srv/s3"],
                7070,
                {"/srv/s3": "emptyDir"},
            ),
        ]
        items = {"apiVersion": "v1", "kind": "List", "items": objects}
        cluster.run("apply", "-f", "-", stdin=json.dumps(items))
        for name in ("git", "s3"):
            cluster.run(
                "-n", NAMESPACE, "wait", "pod", name, "--for=condition=Ready", "--timeout=90s"
            )
        return cls(cluster, authority.cert_pem.bytes().decode())

    def git_url(self, repository: str) -> str:
        return f"https://{GIT_HOST}/{repository}.git"

    @property
    def s3_endpoint(self) -> str:
        return f"http://{S3_HOST}"

    def put_repository(self, name: str, files: dict[str, str]) -> str:
        """Make a repository of one commit on `main`; return the commit."""
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)

            def git(*arguments: str) -> str:
                done = subprocess.run(
                    ["git", "-C", folder, *arguments],
                    env={**os.environ, **_AUTHOR, "GIT_CONFIG_GLOBAL": os.devnull},
                    check=True,
                    capture_output=True,
                )
                return done.stdout.decode().strip()

            git("init", "--quiet", "--initial-branch=main")
            _write(root, files)
            git("add", "--all")
            git("commit", "--quiet", "--message=First")
            git("bundle", "create", "all.bundle", "--all")
            bundle = base64.b64encode((root / "all.bundle").read_bytes()).decode()
            commit = git("rev-parse", "HEAD")
        self._exec(
            "git",
            f"base64 -d > /tmp/{name} && rm -rf /srv/git/{name}.git && "
            f"git clone --quiet --bare /tmp/{name} /srv/git/{name}.git",
            bundle,
        )
        return commit

    def put_objects(self, bucket: str, prefix: str, files: dict[str, str]) -> None:
        """Store objects through the server's own API."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, text in files.items():
                member = tarfile.TarInfo(path)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        text = base64.b64encode(archive.getvalue()).decode()
        self._exec("s3", f"python3 /scripts/put.py {bucket} {prefix}", text)

    def _exec(self, pod: str, script: str, stdin: str) -> None:
        self.cluster.run("-n", NAMESPACE, "exec", "-i", pod, "--", "sh", "-ec", script, stdin=stdin)


_PUT = Path(__file__).with_name("put_objects.py").read_text()


def _server(
    name: str, image: str, command: list[str], port: int, volumes: dict[str, str]
) -> list[dict[str, object]]:
    mounts = [{"name": f"data-{n}", "mountPath": path} for n, path in enumerate(volumes)]
    environment = [
        {"name": variable, "valueFrom": {"secretKeyRef": {"name": "s3-server", "key": key}}}
        for variable, key in (("ROOT_ACCESS_KEY", "access"), ("ROOT_SECRET_KEY", "secret"))
    ]
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": environment if name == "s3" else [],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
        "volumeMounts": [
            *mounts,
            {"name": "settings", "mountPath": "/etc/git-server"},
            {"name": "scripts", "mountPath": "/scripts"},
        ],
    }
    pod = _object(
        "Pod",
        name,
        spec={
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [
                *({"name": mount["name"], "emptyDir": {}} for mount in mounts),
                {"name": "settings", "secret": {"secretName": "git-server"}},
                {"name": "scripts", "configMap": {"name": f"scripts-{name}"}},
            ],
        },
    )
    pod["metadata"]["labels"] = {"server": name}  # type: ignore[index]
    ports = [{"port": 443 if name == "git" else 80, "targetPort": port}]
    return [
        _object("ConfigMap", f"scripts-{name}", data={"put.py": _PUT}),
        pod,
        _object("Service", name, spec={"selector": {"server": name}, "ports": ports}),
    ]


def _object(kind: str, name: str, **fields: object) -> dict[str, object]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def _write(root: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
