"""Which run is meant."""

from typing import Any

import pytest

from flow_client.choice import choose, parse_parameters
from flow_client.errors import ClientError
from flow_client.objects import Manifest, Objects

SOURCE = {"git": {"url": "https://git.example.com/flows.git"}}


def deployment(name: str) -> Manifest:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowDeployment",
        "metadata": {"name": name, "namespace": "data"},
        "spec": {"source": SOURCE, "entrypoint": "flow.py:main"},
    }


def run(name: str, of: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "flow-operator.io/v1alpha1",
        "kind": "FlowRun",
        "metadata": {"name": name, "namespace": "data"},
        "spec": {"deploymentRef": {"name": of}, **spec},
    }


def objects(*manifests: Manifest) -> Objects:
    found = Objects()
    for manifest in manifests:
        kind = found.runs if manifest["kind"] == "FlowRun" else found.deployments
        kind["data", manifest["metadata"]["name"]] = manifest
    return found


def test_a_deployment_alone_gets_a_run():
    """For a FlowDeployment without a FlowRun one is made up."""
    choice = choose(objects(deployment("etl")))

    assert choice.run["metadata"]["name"] == "etl-local"
    assert choice.run["spec"] == {"deploymentRef": {"name": "etl"}}
    assert choice.run["metadata"]["uid"]


def test_a_run_of_the_files_is_taken_first():
    """A FlowRun in the files is what is run, with the parameters given over its own."""
    found = objects(deployment("etl"), run("etl-1", "etl", parameters={"a": 1, "b": 1}))

    choice = choose(found, parameters={"b": 2}, revision="0" * 40)

    assert choice.run["metadata"]["name"] == "etl-1"
    assert choice.run["spec"]["parameters"] == {"a": 1, "b": 2}
    assert choice.run["spec"]["revision"] == "0" * 40


def test_a_name_chooses_among_several():
    """A name is a FlowRun's or a FlowDeployment's."""
    found = objects(deployment("a"), deployment("b"), run("b-1", "b"))

    assert choose(found, "a").run["metadata"]["name"] == "a-local"
    assert choose(found, "b-1").deployment["metadata"]["name"] == "b"


@pytest.mark.parametrize(
    ("found", "name", "problem"),
    [
        (objects(), None, "there is no FlowDeployment in the files given"),
        (objects(deployment("a"), deployment("b")), None, "say which one to run: a, b"),
        (
            objects(deployment("a")),
            "b",
            "there is no FlowDeployment or FlowRun 'b' in the files: a",
        ),
        (
            objects(deployment("a"), run("b-1", "b")),
            None,
            "FlowRun b-1: spec.deploymentRef.name: there is no FlowDeployment 'b' in namespace "
            "'data' of the files given",
        ),
    ],
)
def test_no_run_can_be_meant(found: Objects, name: str | None, problem: str):
    """When no run or more than one can be meant, the error says what there is."""
    with pytest.raises(ClientError) as caught:
        choose(found, name)

    assert str(caught.value) == problem


def test_options_are_validated_as_the_manifest_is():
    """What an option adds is held to the rules of the field."""
    with pytest.raises(ClientError, match=r"spec\.revision: "):
        choose(objects(deployment("a")), revision="main")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=x", "x"),
        ("a=", ""),
        ("a=2026-11-22", "2026-11-22"),
        ('a="1"', "1"),
        ('a={"b": [1]}', {"b": [1]}),
        ("a=b=c", "b=c"),
        ("a=NaN", "NaN"),
        ("a=null", None),
    ],
)
def test_a_parameter_is_json_or_text(text: str, value: Any):
    """The value of --parameter is JSON where it is some, and text otherwise."""
    assert parse_parameters([text]) == {"a": value}


def test_a_parameter_needs_a_name_and_a_value():
    """A parameter without `=` is refused."""
    with pytest.raises(ClientError, match="--parameter 'a' must be name=value"):
        parse_parameters(["a"])
