"""Reading manifests as kubectl does."""

import base64
import io
import textwrap
from pathlib import Path

import pytest

from flow_client.errors import ManifestError
from flow_client.objects import Objects, read_objects

DEPLOYMENT = """
apiVersion: flow-operator.io/v1alpha1
kind: FlowDeployment
metadata: {name: etl}
spec:
  source: {git: {url: "https://git.example.com/flows.git"}}
  entrypoint: flow.py:main
"""


def read(folder: Path, text: str) -> Objects:
    file = folder / "flow.yaml"
    file.write_text(textwrap.dedent(text))
    return read_objects([str(file)])


def test_reads_every_kind_that_a_run_needs(tmp_path: Path):
    """FlowDeployments, FlowRuns, Secrets and ConfigMaps of one file are found by name."""
    objects = read(
        tmp_path,
        f"""{DEPLOYMENT}
---
apiVersion: flow-operator.io/v1alpha1
kind: FlowRun
metadata: {{generateName: etl-, namespace: data}}
spec: {{deploymentRef: {{name: etl}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: token}}
data: {{token: {base64.b64encode(b"one").decode()}}}
stringData: {{token: two, other: three}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings}}
data: {{LEVEL: INFO}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: data}}
""",
    )

    assert list(objects.deployments) == [("default", "etl")]
    assert list(objects.runs) == [("data", "etl-local")]
    assert objects.secrets == {("default", "token"): {"token": b"two", "other": b"three"}}
    assert objects.config_maps == {("default", "settings"): {"LEVEL": b"INFO"}}
    assert objects.ignored == ["Namespace data"]


def test_reads_several_files_and_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Files add up, a List is its items, and - is standard input."""
    file = tmp_path / "secret.json"
    file.write_text(
        '{"kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", '
        '"metadata": {"name": "token"}, "stringData": {"token": "x"}}]}'
    )
    monkeypatch.setattr("sys.stdin", io.StringIO(DEPLOYMENT))

    objects = read_objects([str(file), "-"], "data")

    assert (*objects.deployments, *objects.secrets) == (("data", "etl"), ("data", "token"))


def test_a_date_stays_text(tmp_path: Path):
    """A parameter that YAML takes for a date is text, as it is for kubectl."""
    objects = read(tmp_path, DEPLOYMENT + "  parameters: {day: 2026-11-22, limit: 10}\n")

    parameters = objects.deployments["default", "etl"]["spec"]["parameters"]
    assert parameters == {"day": "2026-11-22", "limit": 10}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "line 1, column 5: not YAML: expected the node content"),
        ("hello", "an object without kind: every document must be a Kubernetes manifest"),
        ("kind: Secret", "Secret: metadata: is required"),
        (
            DEPLOYMENT.replace("https://", "https://me:secret@"),
            "FlowDeployment etl: spec.source.git.url: url must not contain credentials",
        ),
        (
            DEPLOYMENT.replace("entrypoint", "entryPoint"),
            "FlowDeployment etl: spec.entryPoint: unknown field",
        ),
        (
            DEPLOYMENT.replace("FlowDeployment", "FlowDeploymen"),
            "FlowDeploymen etl: kind: there is no such kind; there are FlowDeployment, FlowRun",
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {token: 'not base64'}}",
            "Secret s: data.token: is not base64; plain text goes into stringData",
        ),
        (
            "{apiVersion: v1, kind: Secret, metadata: {name: s}, stringData: {token: 12}}",
            "Secret s: stringData.token: must be a string; quote it",
        ),
    ],
)
def test_a_problem_names_the_file_the_object_and_the_field(tmp_path: Path, text: str, problem: str):
    """An error has the file, the object and the field, and never the value of a Secret."""
    with pytest.raises(ManifestError) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(str(tmp_path / "flow.yaml"))
    assert problem in str(caught.value)
    assert "not base64'" not in str(caught.value)


def test_all_problems_come_at_once(tmp_path: Path):
    """Every problem of every object is in the one error."""
    text = DEPLOYMENT.replace("flow.py:main", "main")

    with pytest.raises(ManifestError) as caught:
        read(tmp_path, f"{text}  suspend: maybe\n---\n{text}")

    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_is_named():
    """A file that cannot be read is named with the reason."""
    with pytest.raises(ManifestError, match=r"nowhere\.yaml: No such file or directory"):
        read_objects(["nowhere.yaml"])
