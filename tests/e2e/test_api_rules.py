"""What the CRDs promise, asked of a real API server: every rule, the columns, what explain prints.

The cases are those of `tests.unit.api`, so our own checks and the API server cannot come to differ.
Nothing but the objects that edits need is stored: all else is a dry run.
"""

import copy
import json
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kubernetes import client, config

from flow_operator.api.crd import KINDS
from flow_operator.api.v1alpha1 import GROUP, VERSION
from flow_operator.api.validate import validate
from tests.cluster import Cluster
from tests.unit.api.cases import CASES, EDITS, FSSPEC, GIT, RUN, S3, Case, changed, generated_cases

CRDS = Path(__file__).parents[2] / "crds"
NAMESPACE = f"flow-api-rules-{secrets.token_hex(3)}"
PLURALS = {kind.name: kind.plural for kind in KINDS}
OPERATORS = "app.kubernetes.io/name=flow-operator"
NAMES = (
    'jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name}/{.spec.replicas}{"\\n"}{end}'
)
DATE = re.compile(r"^(\d+[smhd])+$|^<unknown>$|^$")


class Server:
    """The API server, by what it says to a manifest."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.api = client.CustomObjectsApi(
            config.new_client_from_config(str(cluster.kubeconfig), cluster.context)
        )

    def at(self, manifest: dict[str, Any]) -> dict[str, str]:
        return {
            "group": GROUP,
            "version": VERSION,
            "namespace": NAMESPACE,
            "plural": PLURALS[manifest["kind"]],
        }

    def create(self, manifest: dict[str, Any], *, dry: bool = False) -> dict[str, Any]:
        return dict(
            self.api.create_namespaced_custom_object(
                **self.at(manifest),
                body=manifest,
                field_validation="Strict",
                **({"dry_run": "All"} if dry else {}),
            )
        )

    def refusal_of_creation(self, manifest: dict[str, Any]) -> str:
        """The error that a new object gets; empty if it is accepted."""
        try:
            self.create(manifest, dry=True)
        except client.ApiException as error:
            return str(json.loads(error.body)["message"])
        return ""

    def refusal_of_edit(self, before: dict[str, Any], changes: dict[str, Any]) -> str:
        """The error that an edit of an object gets; empty if it is accepted."""
        stored = self.create(before)
        name = stored["metadata"]["name"]
        after = changed(before, changes)
        after["metadata"] |= {"name": name}
        after["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"]
        try:
            self.api.replace_namespaced_custom_object(
                **self.at(before), name=name, body=after, dry_run="All", field_validation="Strict"
            )
        except client.ApiException as error:
            return str(json.loads(error.body)["message"])
        finally:
            self.api.delete_namespaced_custom_object(**self.at(before), name=name)
        return ""

    def set_status(self, manifest: dict[str, Any], status: dict[str, Any]) -> None:
        self.api.patch_namespaced_custom_object_status(
            **self.at(manifest), name=manifest["metadata"]["name"], body={"status": status}
        )


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    """An API server that knows our kinds as they are in this tree, and no operator at work."""
    there = [kind.crd_name for kind in KINDS if _exists(cluster, "crd", kind.crd_name)]
    ours = [kind.crd_name for kind in KINDS if kind.crd_name not in there]
    operators = cluster.run("get", "deployments", "-A", "-l", OPERATORS, "-o", NAMES).split()
    for operator in operators:
        _scale(cluster, operator, "0")
    cluster.run("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    cluster.run("wait", "--for=condition=Established", "crd", *(kind.crd_name for kind in KINDS))
    cluster.run("api-resources", "--api-group", GROUP)  # kubectl forgets what it knew before
    cluster.run("create", "namespace", NAMESPACE)
    yield Server(cluster)
    cluster.run("delete", "namespace", NAMESPACE, "--wait=false")
    for operator in operators:
        _scale(cluster, operator, operator.rpartition("/")[2])
    if ours:
        cluster.run("delete", "crd", *ours)


def _exists(cluster: Cluster, *what: str) -> bool:
    return bool(cluster.run("get", *what, "--ignore-not-found", "-o", "name"))


def _scale(cluster: Cluster, operator: str, replicas: str) -> None:
    namespace, name, _ = operator.split("/")
    target = ("-n", namespace, f"deployment/{name}")
    cluster.run("scale", *target, f"--replicas={replicas}")
    cluster.run("rollout", "status", *target, "--timeout=60s")
    if replicas == "0":
        cluster.run("-n", namespace, "wait", "pod", "-l", OPERATORS, "--for=delete")


@pytest.mark.parametrize("case", [*CASES, *generated_cases()], ids=lambda case: case.name)
def test_the_api_server_names_the_field_that_is_wrong(server: Server, case: Case) -> None:
    """Every case is accepted, or refused with a message that names the field at fault."""
    said = server.refusal_of_creation(case.manifest)
    if case.refused is None:
        assert said == ""
    else:
        assert re.search(rf'{re.escape(case.refused)}(?=[:"])', said), said or "it was accepted"


PIECES = st.sampled_from([
    "a", "A", "9", "-", "_", ".", "..", "/", "//", "@", "@{", ":", "?", "#", "\\", "~", "*", "[",
    " ", "\n", "\x00", "\x7f", "\x85", "\u00a0", "\u2028", "é", "\U0001d4b3", "\u0301", "%40",
    ".lock", ":f", ".py:main", "http://", "https://h", "HTTPS://h/", "[::1]", ":80", "refs/",
    "FLOW_", "1Gi", "e3", "=",
])  # fmt: skip
FIELDS = (
    (GIT, "spec.source.git.url"), (GIT, "spec.source.git.ref.branch"), (GIT, "spec.entrypoint"),
    (GIT, "spec.workingDirectory"), (GIT, "spec.image"), (GIT, "spec.env[0].name"),
    (GIT, "spec.resources.limits.memory"), (GIT, "spec.serviceAccountName"),
    (S3, "spec.source.s3.prefix"), (S3, "spec.source.s3.endpoint"), (S3, "spec.source.s3.bucket"),
    (RUN, "spec.revision"),
)  # fmt: skip


@settings(
    max_examples=400, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(place=st.sampled_from(FIELDS), text=st.lists(PIECES, max_size=6).map("".join))
def test_our_checks_and_the_api_server_agree(
    server: Server, place: tuple[dict[str, Any], str], text: str
) -> None:
    """Whatever is written into a field, both accept it or both refuse it."""
    base, path = place
    manifest = changed(base, {path: text})
    problems, said = validate(base["kind"], manifest), server.refusal_of_creation(manifest)
    assert bool(problems) == bool(said), (problems, said)


@pytest.mark.parametrize("number", range(len(EDITS)), ids=[edit.name for edit in EDITS])
def test_the_api_server_guards_what_may_change(server: Server, number: int) -> None:
    """The spec of a FlowRun keeps every value but `cancel`, which goes one way."""
    edit = EDITS[number]
    before = changed(edit.before, {"metadata.name": f"edit-{number}"})
    said = server.refusal_of_edit(before, edit.changes)
    if edit.refused is None:
        assert said == ""
    else:
        assert f"{edit.refused}: " in said, said or "it was accepted"


def test_the_largest_run_can_be_guarded_too(server: Server) -> None:
    """Comparing the largest parameters and variables stays within the budget of the rules."""
    parameters = {f"x{index}": {"deep": [{"a": index}] * 9} for index in range(400)}
    env = [{"name": f"X{index}", "value": "v" * 2000} for index in range(256)]
    large = {"spec.parameters": parameters, "spec.env": env}
    assert len(json.dumps(parameters)) > 48_000
    before = changed(RUN, {"metadata.name": "large", **large})
    assert server.refusal_of_edit(before, {"spec.cancel": True}) == ""
    said = server.refusal_of_edit(before, {"spec.parameters.x399.deep[8].a": -1})
    assert "spec.parameters: Forbidden" in said


def test_messages_say_what_to_do_and_repeat_no_credential(server: Server) -> None:
    """A URL with a password is refused by a remedy, without the password."""
    said = server.refusal_of_creation(
        changed(GIT, {"spec.source.git.url": "https://u:hunter2@host/x"})
    )
    assert "spec.source.git.url: Forbidden: url must not contain credentials" in said
    assert "put them into a Secret and name it in secretRef" in said
    assert "hunter2" not in said


def test_the_api_server_fills_in_the_defaults(server: Server) -> None:
    """What a spec leaves out is filled in, and nothing else."""
    least = {"source": {"git": {"url": "http://h/x"}}, "entrypoint": "m:f"}
    assert server.create(changed(GIT, {"spec": least}), dry=True)["spec"] == {
        **least,
        "suspend": False,
        "catchUp": "latest",
        "concurrencyPolicy": "Allow",
        "pendingDeadlineSeconds": 300,
        "successfulRunsHistoryLimit": 3,
        "failedRunsHistoryLimit": 3,
    }
    least = {"deploymentRef": {"name": "nightly"}}
    stored = server.create(changed(RUN, {"spec": least}), dry=True)["spec"]
    assert stored == {**least, "cancel": False}


@pytest.mark.parametrize("base", [GIT, S3, FSSPEC, RUN], ids=["git", "s3", "fsspec", "run"])
def test_the_api_server_keeps_every_field(server: Server, base: dict[str, Any]) -> None:
    """Nothing that is accepted is dropped: not even an argument that is null."""
    stored = server.create(copy.deepcopy(base), dry=True)["spec"]
    assert {**stored, **base["spec"]} == stored


def test_the_crds_of_the_cluster_are_these(server: Server) -> None:
    """The cluster serves what is in the folder, so the proof above is about this tree."""
    for file in sorted(CRDS.glob("*.yaml")):
        wanted = yaml.safe_load(file.read_text())
        found = json.loads(
            server.cluster.run("get", "crd", wanted["metadata"]["name"], "-o", "json")
        )
        schema = "openAPIV3Schema"
        mine, theirs = wanted["spec"]["versions"][0], found["spec"]["versions"][0]
        assert theirs["schema"][schema] == mine["schema"][schema]
        conditions = {c["type"]: c["status"] for c in found["status"]["conditions"]}
        assert conditions["NamesAccepted"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize(
    ("path", "phrases"),
    [
        ("fd", ["A function of a source tree", "spec", "status"]),
        ("fd.spec.source.git", ["A git repository.", "url", "secretRef", "insecure"]),
        ("fd.spec.source.git.url", ["Credentials do not belong here"]),
        ("fd.spec.env", ["Environment variables of the main container.", "valueFrom"]),
        ("fr.spec.cancel", ["Stops the run."]),
        ("fr.status.attempts", ["The Jobs of the run, oldest first.", "podUID"]),
    ],
)
def test_kubectl_explains_fields(server: Server, path: str, phrases: list[str]) -> None:
    """`kubectl explain` prints our descriptions, by the short names."""
    said = server.cluster.run(
        "explain", path, "--recursive" if path == "fd" else "--output=plaintext"
    )
    assert [phrase for phrase in phrases if phrase not in " ".join(said.split())] == []


def test_kubectl_shows_deployments(server: Server) -> None:
    """`kubectl get fd`: READY, SOURCE, ENTRYPOINT, SCHEDULE, LAST RUN, LAST STATUS, AGE."""
    server.create(changed(GIT, {"metadata.name": "columns-git", "spec.runOn": []}))
    server.create(changed(S3, {"metadata.name": "columns-s3", "spec.runOn": []}))
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "lastTransitionTime": "2026-11-22T03:00:00Z",
    }
    server.set_status(
        changed(GIT, {"metadata.name": "columns-git"}),
        {
            "observedGeneration": 1,
            "conditions": [condition],
            "source": "https://git.example.com/acme/flows.git@main",
            "schedule": "0 3 * * MON-FRI Europe/Berlin and 2 more",
            "nextScheduleTime": "2026-11-24T02:00:00Z",
            "lastRun": {
                "name": "nightly-1",
                "phase": "Succeeded",
                "revision": "8c1f",
                "startTime": "2026-11-22T03:00:00Z",
            },
        },
    )
    header, rows = _table(server.cluster.run("get", "fd", "-n", NAMESPACE))
    assert header == [
        "NAME", "READY", "SOURCE", "ENTRYPOINT", "SCHEDULE", "LAST RUN", "LAST STATUS", "AGE",
    ]  # fmt: skip
    git, s3 = rows["columns-git"], rows["columns-s3"]
    assert git["READY"] == "True"
    assert git["SOURCE"] == "https://git.example.com/acme/flows.git@main"
    assert git["ENTRYPOINT"] == "etl/nightly.py:main"
    assert git["SCHEDULE"] == "0 3 * * MON-FRI Europe/Berlin and 2 more"
    assert git["LAST STATUS"] == "Succeeded"
    assert DATE.match(git["LAST RUN"])
    assert git["LAST RUN"]
    assert DATE.match(git["AGE"])
    assert s3["ENTRYPOINT"] == '["python","-c","print(1)"]'
    header, rows = _table(server.cluster.run("get", "fd", "-n", NAMESPACE, "-o", "wide"))
    assert header[8:] == ["SUSPENDED", "REASON", "NEXT", "RUN", "REVISION"]
    assert rows["columns-git"]["NEXT"] == "2026-11-24T02:00:00Z"
    assert rows["columns-git"]["RUN"] == "nightly-1"


def test_kubectl_shows_runs(server: Server) -> None:
    """`kubectl get fr`: DEPLOYMENT, PHASE, REVISION, STARTED, DURATION; one deployment's only."""
    run = changed(RUN, {"metadata.name": "columns"})
    server.create(run)
    server.create(changed(RUN, {"metadata.name": "other", "spec.deploymentRef.name": "weekly"}))
    server.set_status(
        run,
        {
            "phase": "Failed",
            "revision": "8c1f",
            "startTime": "2026-11-22T03:00:00Z",
            "duration": "1m12s",
            "conditions": [
                {
                    "type": "Succeeded",
                    "status": "False",
                    "reason": "FlowFailed",
                    "message": "it raised",
                    "lastTransitionTime": "2026-11-22T03:00:00Z",
                }
            ],
        },
    )
    selected = "--field-selector=spec.deploymentRef.name=nightly"
    header, rows = _table(server.cluster.run("get", "fr", "-n", NAMESPACE, selected))
    assert header == ["NAME", "DEPLOYMENT", "PHASE", "REVISION", "STARTED", "DURATION"]
    assert "columns" in rows
    assert "other" not in rows
    row = rows["columns"]
    assert (row["DEPLOYMENT"], row["REVISION"], row["DURATION"]) == ("nightly", "8c1f", "1m12s")
    assert row["PHASE"] == "Failed"
    assert DATE.match(row["STARTED"])
    assert row["STARTED"]
    header, rows = _table(server.cluster.run("get", "fr", "-n", NAMESPACE, "-o", "wide"))
    assert header[6:] == ["REASON", "MESSAGE", "TRIGGER", "SCHEDULED"]
    assert rows["columns"]["SCHEDULED"] == "2026-11-22T03:00:00Z"
    assert rows["columns"]["MESSAGE"] == "it raised"


def test_both_kinds_are_in_one_category(server: Server) -> None:
    """`kubectl get flow` lists deployments and runs."""
    names = server.cluster.run("get", "flow", "-n", NAMESPACE, "-o", "name").split()
    assert {name.partition("/")[0] for name in names} == {kind.crd_name for kind in KINDS} or {
        name.partition("/")[0] for name in names
    } == {f"{kind.name.lower()}.{GROUP}" for kind in KINDS}


def _table(text: str) -> tuple[list[str], dict[str, dict[str, str]]]:
    """Read what `kubectl get` prints: columns start where their header does."""
    head, *lines = text.splitlines()
    starts = [match.start() for match in re.finditer(r"\S+( \S+)*", head)]
    ends = [*starts[1:], None]
    header = [head[start:end].strip() for start, end in zip(starts, ends, strict=True)]
    rows = {}
    for line in lines:
        cells = [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        rows[cells[0]] = dict(zip(header, cells, strict=True))
    return header, rows
