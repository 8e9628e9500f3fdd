"""The CRDs say more than their schema: names, columns, what can be selected."""

from flow_operator.api.crd import FLOW_DEPLOYMENT, FLOW_RUN, Kind


def columns(kind: Kind, priority: int = 0) -> list[str]:
    return [column.name.upper() for column in kind.columns if column.priority == priority]


def test_names() -> None:
    """Short names, one category, namespaced, with a status of its own."""
    for kind, short in ((FLOW_DEPLOYMENT, "fd"), (FLOW_RUN, "fr")):
        spec = kind.to_manifest()["spec"]
        assert spec["scope"] == "Namespaced"
        assert spec["names"]["shortNames"] == [short]
        assert spec["names"]["categories"] == ["flow"]
        (version,) = spec["versions"]
        assert version["subresources"] == {"status": {}}
        assert len(kind.to_manifest()["metadata"]["name"].split(".")) == 3


def test_columns() -> None:
    """What `kubectl get` shows, after the name."""
    assert columns(FLOW_DEPLOYMENT) == [
        "READY", "SOURCE", "ENTRYPOINT", "SCHEDULE", "LAST RUN", "LAST STATUS", "AGE",
    ]  # fmt: skip
    assert columns(FLOW_RUN) == ["DEPLOYMENT", "PHASE", "REVISION", "STARTED", "DURATION"]


def test_runs_can_be_selected_by_their_deployment() -> None:
    """`--field-selector spec.deploymentRef.name=x` finds the runs of a deployment."""
    (version,) = FLOW_RUN.to_manifest()["spec"]["versions"]
    assert version["selectableFields"] == [{"jsonPath": ".spec.deploymentRef.name"}]
