"""The chart on a real cluster: what the API server says to it, and what it lets the operator do."""

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow_operator.shell.checks import LEASE_VERBS, PERMISSIONS
from tests.cluster import Cluster, ClusterError, tool
from tests.e2e.kube import Namespace, condition, wait_for

CHART = Path(__file__).parents[2] / "charts" / "flow-operator"
VARIANTS = {
    "default": (),
    "one replica": ("replicaCount=1", "topologySpreadConstraints=null"),
    "some namespaces": ("watchNamespaces={chart-variants}",),
    "everything set": (
        "imagePullSecrets[0].name=pull",
        "serviceAccount.annotations.a=b",
        "podAnnotations.a=b",
        "podLabels.a=b",
        "nodeSelector.a=b",
        "tolerations[0].key=a",
        "extraEnv[0].name=A",
        "extraEnv[0].value=b",
        "runs.podSecurity.setIDs=false",
        "crds.keep=false",
    ),
}
variants = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS)
Object = dict[str, Any]


def rendered(namespace: str, *settings: str) -> str:
    done = subprocess.run(
        [
            tool("helm"), "template", "flow-operator", CHART, "--namespace", namespace,
            "--kube-version", "1.34.0", *(f"--set={setting}" for setting in settings),
        ],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def restricted(cluster: Cluster) -> Iterator[Namespace]:
    """A namespace that enforces the restricted Pod Security Standard; no operator is needed."""
    made = Namespace.create(cluster, "chart-variants")
    yield made
    made.delete()


@pytest.fixture(scope="module")
def schemas(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON Schemas for kubeconform, as the API server itself publishes them."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads(cluster.run("get", "--raw", "/openapi/v2"))["definitions"]
    for definition in definitions.values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
        if definition.get("format") == "int-or-string":
            definition |= {"type": ["string", "integer"]}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] = ["string", "number"]
    text = json.dumps({"definitions": definitions}).replace(
        "#/definitions", "_all.json#/definitions"
    )
    (folder / "_all.json").write_text(text)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"].partition(".")[0]
            parts = [kind["kind"].lower(), *([group] if group else []), kind["version"]]
            (folder / f"{'-'.join(parts)}.json").write_text(
                json.dumps({"$ref": f"_all.json#/definitions/{name}"})
            )
    return folder


def kubeconform(schemas: Path, manifests: str) -> subprocess.CompletedProcess[str]:
    location = f"{schemas}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return subprocess.run(
        [tool("kubeconform"), "-strict", "-summary", "-schema-location", location, "-"],
        input=manifests,
        capture_output=True,
        text=True,
        check=False,
    )


@variants
def test_kubeconform_finds_every_object_valid(schemas: Path, settings: tuple[str, ...]) -> None:
    """Every field of every object is one that Kubernetes has, of the right type."""
    done = kubeconform(schemas, rendered("chart-variants", *settings))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


def test_kubeconform_would_find_a_wrong_field(schemas: Path) -> None:
    """The check above can fail: it does for a field with a typing error."""
    text = rendered("x").replace("revisionHistoryLimit:", "revisionHistoryLimits:")
    done = kubeconform(schemas, text)
    assert done.returncode != 0
    assert "revisionHistoryLimits" in done.stdout


@variants
def test_the_api_server_accepts_every_object(
    restricted: Namespace, settings: tuple[str, ...]
) -> None:
    """A strict dry run of the whole chart."""
    text = rendered(restricted.name, *settings)
    said = restricted.cluster.run(
        "create", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-",
        stdin=yaml.safe_dump_all(
            renamed(obj) for obj in yaml.safe_load_all(text) if obj and "Custom" not in obj["kind"]
        ),
    )  # fmt: skip
    assert "deployment.apps/" in said


def renamed(obj: Object) -> Object:
    """The object under a name that the operator of this cluster does not have."""
    return {**obj, "metadata": {**obj["metadata"], "name": obj["metadata"]["name"] + "-dry"}}


def test_the_operators_pod_is_admitted_under_restricted(restricted: Namespace) -> None:
    """The Pod meets the restricted Pod Security Standard, and one that does not is turned away."""
    (deployment,) = [
        obj
        for obj in yaml.safe_load_all(rendered(restricted.name))
        if obj and obj["kind"] == "Deployment"
    ]
    spec = {**deployment["spec"]["template"]["spec"], "serviceAccountName": "default"}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "operator", "namespace": restricted.name},
        "spec": spec,
    }
    dry_run = ("create", "--dry-run=server", "-f", "-")
    restricted.cluster.run(*dry_run, stdin=json.dumps(pod))
    spec["securityContext"] = {}
    with pytest.raises(ClusterError, match="PodSecurity"):
        restricted.cluster.run(*dry_run, stdin=json.dumps(pod))


MAY = tuple(f"{verb} {resource}" for (_, resource), verbs in PERMISSIONS.items() for verb in verbs)
MAY_NOT = (
    "get secrets", "list secrets", "watch secrets", "create secrets", "get configmaps", "get pods",
    "create pods", "create pods/exec", "get pods/log", "delete pods", "update flowdeployments",
    "update flowruns", "delete flowdeployments", "create serviceaccounts/token", "get nodes",
    "create clusterrolebindings", "create rolebindings", "update customresourcedefinitions",
    "impersonate users", *(f"{verb} leases" for verb in LEASE_VERBS),
)  # fmt: skip


@pytest.mark.parametrize("action", [*MAY, *MAY_NOT])
def test_the_operator_may_do_its_work_and_nothing_else(
    cluster: Cluster, operator: str, action: str
) -> None:
    """The API server's own answer for the operator's ServiceAccount: no Secrets above all."""
    account = f"system:serviceaccount:{operator}:flow-operator"
    assert allowed(cluster, account, action, "-A") is (action in MAY)


def test_the_operator_may_use_its_own_lease_and_no_other(cluster: Cluster, operator: str) -> None:
    """Making one cannot be limited to a name; everything else is."""
    account = f"system:serviceaccount:{operator}:flow-operator"
    here = ("-n", operator)
    for verb in LEASE_VERBS:
        assert allowed(cluster, account, f"{verb} leases/flow-operator", *here)
        assert not allowed(cluster, account, f"{verb} leases", "-n", "default")
    assert not allowed(cluster, account, "update leases/other", *here)
    assert not allowed(cluster, account, "delete leases/flow-operator", *here)


def test_one_of_two_replicas_holds_the_lease(cluster: Cluster, operator: str) -> None:
    """Both are ready, and `kubectl get lease` tells which of them works."""
    pods = pods_of(cluster, operator, "flow-operator")
    assert len(pods) == 2

    def holder() -> str | None:
        column = "jsonpath={.spec.holderIdentity}"
        said = cluster.run("-n", operator, "get", "lease", "flow-operator", "-o", column)
        return said if said.rpartition("_")[0] in pods else None

    wait_for(holder, 30, "one of them to hold the Lease")


def test_a_rollout_loses_no_tick(cluster: Cluster, operator: str, restricted: Namespace) -> None:
    """Every Pod of the operator is replaced while a schedule ticks every second."""
    schedules = [{"name": "fast", "interval": {"every": "1s"}}]
    source = {"git": {"url": "https://git.example/acme/flows.git"}}
    too_much = {"requests": {"cpu": "4096"}}
    restricted.apply(
        restricted.deployment(
            "ticks",
            source=source,
            entrypoint="flow.py:main",
            schedules=schedules,
            catchUp="all",
            resources=too_much,
        )
    )
    before = pods_of(cluster, operator, "flow-operator")
    wait_for(lambda: restricted.runs("ticks")[3:] or None, 60, "ticks", restricted.explain)
    cluster.run("-n", operator, "rollout", "restart", "deployment/flow-operator")
    cluster.run("-n", operator, "rollout", "status", "deployment/flow-operator", "--timeout=120s")
    ended = datetime.now(UTC)

    def ticks() -> dict[datetime, datetime]:
        """When the run of each tick was made."""
        runs = restricted.runs("ticks")
        times = {
            run["spec"]["trigger"]["scheduledTime"]: run["metadata"]["creationTimestamp"]
            for run in runs
        }
        assert len(times) == len(runs)
        return {datetime.fromisoformat(key): datetime.fromisoformat(times[key]) for key in times}

    made = wait_for(
        lambda: found if max(found := ticks()) > ended else None, 60, "later ticks",
        restricted.explain,
    )  # fmt: skip
    restricted.run("delete", "fd", "ticks")
    assert {later - tick for tick, later in pairwise(sorted(made))} == {timedelta(seconds=1)}
    late = max(created - tick for tick, created in made.items())
    print(f"\nthe latest of {len(made)} ticks in a rollout was {late.total_seconds():.0f} s late")
    assert late < timedelta(seconds=10)
    assert not set(before) & set(pods_of(cluster, operator, "flow-operator"))


def pods_of(cluster: Cluster, namespace: str, release: str) -> list[str]:
    """The names of a release's Pods that are ready."""
    selector = f"app.kubernetes.io/instance={release}"
    found = json.loads(cluster.run("-n", namespace, "get", "pods", "-l", selector, "-o", "json"))
    return [
        pod["metadata"]["name"]
        for pod in found["items"]
        if "deletionTimestamp" not in pod["metadata"]
        and condition(pod, "Ready").get("status") == "True"
    ]


def logs_of(cluster: Cluster, namespace: str, release: str) -> str:
    """What all Pods of a release have logged."""
    selector = f"app.kubernetes.io/instance={release}"
    return cluster.run("-n", namespace, "logs", "-l", selector, "--tail=-1")


def allowed(cluster: Cluster, user: str, action: str, *where: str) -> bool:
    verb, resource = action.split()
    kind, _, part = resource.partition("/")
    if kind == "leases":
        asked: tuple[str, ...] = (verb, resource)
    else:
        asked = (verb, kind, *([f"--subresource={part}"] if part else []))
    try:
        said = cluster.run("auth", "can-i", *asked, "--as", user, *where)
    except ClusterError:  # `no` is an exit code.
        return False
    return said.split()[-1] == "yes"


def test_the_operator_misses_no_permission(cluster: Cluster, operator: str) -> None:
    """Its log has no word of a permission that it lacks."""
    assert lacking(logs_of(cluster, operator, "flow-operator")) == []


def lacking(log: str) -> list[str]:
    """The lines of a log in which RBAC, kopf or the operator says that something may not be."""
    denied = re.compile(r"cannot \w+ resource|not enough permissions|operator may not", re.I)
    return [line for line in log.splitlines() if denied.search(line)]


def test_some_namespaces_are_enough_for_an_operator(
    cluster: Cluster, operator: str, restricted: Namespace
) -> None:
    """With watchNamespaces it becomes ready on Roles alone, without a rule for the cluster."""
    (first,) = json.loads(
        cluster.run("-n", operator, "get", "deployment", "flow-operator", "-o", "json")
    )["spec"]["template"]["spec"]["containers"]
    repository, _, tag = first["image"].rpartition(":")
    cluster.run_helm(
        "upgrade", "--install", "few", CHART, "--namespace", restricted.name,
        "--set", f"watchNamespaces={{{restricted.name}}}", "--set", "crds.install=false",
        "--set", "rbac.aggregate=false", "--set-string", f"image.repository={repository}",
        "--set-string", f"image.tag={tag}", "--wait", "--timeout", "90s",
    )  # fmt: skip
    try:
        account = f"system:serviceaccount:{restricted.name}:few-flow-operator"
        here = ("-n", restricted.name)
        assert allowed(cluster, account, "watch flowruns", *here)
        assert not allowed(cluster, account, "watch flowruns", "-A")
        assert not allowed(cluster, account, "get secrets", *here)
        assert len(pods_of(cluster, restricted.name, "few")) == 2
        assert lacking(logs_of(cluster, restricted.name, "few")) == []
    finally:
        cluster.run_helm("uninstall", "few", "--namespace", restricted.name, "--wait")


def test_users_get_the_kinds_with_their_roles(
    cluster: Cluster, operator: str, restricted: Namespace
) -> None:
    """The cluster's roles `view` and `edit` cover both kinds, as they cover Jobs."""
    here = ("-n", restricted.name)
    for user, role in (("vera", "view"), ("edith", "edit")):
        restricted.run("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}")
    for kind in ("flowdeployments", "flowruns"):
        assert allowed(cluster, "vera", f"list {kind}", *here)
        assert not allowed(cluster, "vera", f"create {kind}", *here)
        assert allowed(cluster, "edith", f"create {kind}", *here)
        assert allowed(cluster, "edith", f"delete {kind}", *here)
        assert not allowed(cluster, "edith", f"update {kind}/status", *here)
