"""The chart, as Helm renders it: what it may do, how it runs, what its values change."""

import json
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from flow_operator.api.chart import values
from flow_operator.api.validate import validate
from flow_operator.core.settings import Settings
from flow_operator.shell.checks import LEASE_VERBS, PERMISSIONS
from tests.cluster import tool

CHART = Path(__file__).parents[3] / "charts" / "flow-operator"
Object = dict[str, Any]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm"), *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def render(*settings: str, release: str = "flow-operator") -> list[Object]:
    """The objects of the chart with some values, given as for `helm --set`."""
    return [obj for obj in yaml.load_all(_rendered(settings, release), _LOADER) if obj]


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _rendered(settings: tuple[str, ...], release: str) -> str:
    done = helm(
        "template", release, str(CHART), "--namespace", "flow-system", "--kube-version", "1.34.0",
        *(f"--set={setting}" for setting in settings),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [obj for obj in objects if obj["kind"] in kinds]


def deployment(*settings: str) -> Object:
    (found,) = of_kind(render(*settings), "Deployment")
    return found


def settings_file(*settings: str) -> Object:
    (config,) = of_kind(render(*settings), "ConfigMap")
    read: Object = yaml.safe_load(config["data"]["settings.yaml"])
    return read


def environment(*settings: str) -> dict[str, str]:
    (container,) = deployment(*settings)["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def test_lint() -> None:
    """`helm lint --strict` has nothing to say."""
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@pytest.mark.parametrize("mode", [(), ("watchNamespaces={a,b}",)], ids=["all", "some"])
def test_nothing_grants_secrets(mode: tuple[str, ...]) -> None:
    """No rule of the chart names Secrets, has a wildcard, or could grant itself more."""
    rules = [
        rule for role in of_kind(render(*mode), "Role", "ClusterRole") for rule in role["rules"]
    ]
    assert rules
    for rule in rules:
        resources = {resource.partition("/")[0] for resource in rule["resources"]}
        assert not resources & {
            "*", "secrets", "serviceaccounts", "configmaps", "roles", "clusterroles",
            "rolebindings", "clusterrolebindings", "nodes", "namespaces",
        }  # fmt: skip
        assert "*" not in rule["apiGroups"]
        assert not set(rule["verbs"]) & {"*", "escalate", "bind", "impersonate"}
        assert "nonResourceURLs" not in rule


def test_the_operator_may_do_what_it_does_and_no_more() -> None:
    """The rules are exactly the permissions that the operator's own check asks for at its start."""
    (role,) = [
        role
        for role in of_kind(render(), "ClusterRole")
        if not role["metadata"]["name"].endswith(("-view", "-edit"))
    ]
    granted = {
        (group, resource): set(rule["verbs"])
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted == {key: set(verbs) for key, verbs in PERMISSIONS.items()}


def test_some_namespaces_need_no_cluster_role() -> None:
    """With watchNamespaces the same rules are a Role and a RoleBinding in each namespace."""
    objects = render("watchNamespaces={data,ml}", "rbac.aggregate=false")
    assert of_kind(objects, "ClusterRole", "ClusterRoleBinding") == []
    (everywhere,) = of_kind(render("rbac.aggregate=false"), "ClusterRole")
    for kind in ("Role", "RoleBinding"):
        found = [obj["metadata"]["namespace"] for obj in of_kind(objects, kind)]
        assert sorted(found) == ["data", "flow-system", "ml"]
    for role in of_kind(objects, "Role"):
        if role["metadata"]["namespace"] != "flow-system":
            assert role["rules"] == everywhere["rules"]
    for binding in of_kind(objects, "RoleBinding"):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "flow-operator", "namespace": "flow-system"}
        ]
    assert environment("watchNamespaces={data,ml}")["FLOW_OPERATOR_NAMESPACES"] == "data,ml"


def test_users_get_the_kinds_with_the_roles_they_have() -> None:
    """Viewers may look, editors may edit; nobody is given a status to write."""
    roles = {role["metadata"]["name"]: role for role in of_kind(render(), "ClusterRole")}
    view = roles["flow-system-flow-operator-view"]
    edit = roles["flow-system-flow-operator-edit"]
    to = "rbac.authorization.k8s.io/aggregate-to-"
    assert {f"{to}view", f"{to}edit", f"{to}admin"} <= set(view["metadata"]["labels"])
    assert f"{to}view" not in edit["metadata"]["labels"]
    assert {f"{to}edit", f"{to}admin"} <= set(edit["metadata"]["labels"])
    assert view["rules"][0]["verbs"] == ["get", "list", "watch"]
    assert edit["rules"][0]["resources"] == ["flowdeployments", "flowruns"]


def test_rbac_can_be_somebody_elses() -> None:
    """With rbac.create=false and serviceAccount.create=false the chart makes neither."""
    objects = render("rbac.create=false", "serviceAccount.create=false", "serviceAccount.name=mine")
    kinds = {obj["kind"] for obj in objects}
    assert kinds == {
        "CustomResourceDefinition", "ConfigMap", "Deployment", "PodDisruptionBudget"
    }  # fmt: skip
    (pod,) = of_kind(objects, "Deployment")
    assert pod["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


def test_the_pod_is_restricted() -> None:
    """The operator's Pod meets the restricted Pod Security Standard, with a read-only root."""
    pod = deployment()["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {tuple(volume.keys() - {"name"}) for volume in pod["volumes"]} == {
        ("configMap",),
        ("emptyDir",),
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()


def test_there_is_always_an_operator() -> None:
    """Two replicas, of which a rollout or a drain takes one when the other is ready."""
    spec = deployment()["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    (budget,) = of_kind(render(), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    assert budget["spec"]["selector"] == spec["selector"]
    assert of_kind(render("replicaCount=1"), "PodDisruptionBudget") == []
    assert deployment("replicaCount=1")["spec"]["replicas"] == 1


def test_the_replicas_share_one_lease() -> None:
    """It is called like the Deployment and in its namespace, and they may use no other."""
    for settings in (), ("fullnameOverride=flows",), ("watchNamespaces={data}",):
        name = deployment(*settings)["metadata"]["name"]
        variables = environment(*settings)
        assert variables["FLOW_OPERATOR_LEASE"] == name
        assert variables["FLOW_OPERATOR_LEASE_NAMESPACE"] == "flow-system"
        (role,) = [
            role
            for role in of_kind(render(*settings), "Role")
            if role["metadata"]["namespace"] == "flow-system"
        ]
        create, use = role["rules"]
        assert create["verbs"] == ["create"]
        assert use["resourceNames"] == [name]
        assert {*create["verbs"], *use["verbs"]} == set(LEASE_VERBS)
        assert create["resources"] == use["resources"] == ["leases"]
    (binding,) = of_kind(render(), "RoleBinding")
    assert binding["roleRef"]["name"] == "flow-operator-lease"


def test_the_pods_spread_over_the_nodes_where_they_can() -> None:
    """Softly, by their own labels; other constraints take the place of it."""
    spec = deployment()["spec"]
    labels = spec["selector"]
    (constraint,) = spec["template"]["spec"]["topologySpreadConstraints"]
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["labelSelector"] == labels
    key = "topologySpreadConstraints[0]"
    zone = {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    other = deployment(
        *(f"{key}.{name}={value}" for name, value in zone.items()),
        f"{key}.labelSelector.matchLabels.a=b",
    )
    assert other["spec"]["template"]["spec"]["topologySpreadConstraints"] == [
        {**zone, "labelSelector": {"matchLabels": {"a": "b"}}}
    ]
    none = deployment("topologySpreadConstraints=null")
    assert "topologySpreadConstraints" not in none["spec"]["template"]["spec"]


def test_probes_look_at_the_port_that_is_given() -> None:
    """Liveness and readiness ask the port `http`, which the operator is told to serve."""
    (container,) = deployment()["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert port["name"] == "http"
    assert environment()["FLOW_OPERATOR_PORT"] == str(port["containerPort"])
    for probe, path in (
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_settings_are_those_of_the_operator() -> None:
    """The file has keys that the operator knows, and its defaults are the operator's own."""
    read = Settings.model_validate(settings_file())
    own = Settings()
    assert read.default_image == own.default_image
    assert read.fetch_resources == own.fetch_resources
    assert read.set_ids is own.set_ids is True
    assert read.read_only_root_filesystem is own.read_only_root_filesystem is True
    assert read.fetcher_image == "flow-fetcher:0.1.0"
    assert read.fetcher_full_image == "flow-fetcher-full:0.1.0"
    path = environment()["FLOW_OPERATOR_SETTINGS"]
    (container,) = deployment()["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert path == mounts["settings"] + "/settings.yaml"


def test_every_setting_can_be_changed() -> None:
    """Each value of runs and of the fetcher arrives in the file."""
    read = settings_file(
        "fetcher.image.repository=r.example/fetch",
        "fetcher.image.tag=v9@sha256:abc",
        "fetcher.image.pullPolicy=Always",
        "fetcher.fullImage.repository=r.example/full",
        "fetcher.fullImage.tag=v8",
        "fetcher.resources.limits.memory=1Gi",
        "runs.defaultImage=r.example/python:3",
        "runs.imagePullPolicy=Never",
        "runs.maxActive=500",
        "runs.maxActivePerNamespace=50",
        "runs.podSecurity.setIDs=false",
        "runs.podSecurity.readOnlyRootFilesystem=false",
    )
    assert read == {
        "fetcherImage": "r.example/fetch:v9@sha256:abc",
        "fetcherFullImage": "r.example/full:v8",
        "fetcherImagePullPolicy": "Always",
        "fetchResources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "1Gi"},
        },
        "defaultImage": "r.example/python:3",
        "imagePullPolicy": "Never",
        "maxActiveRuns": 500,
        "maxActiveRunsPerNamespace": 50,
        "setIDs": False,
        "readOnlyRootFilesystem": False,
    }
    named = {field.alias for field in Settings.model_fields.values()}
    assert named <= read.keys()


def test_a_change_of_settings_restarts_the_operator() -> None:
    """The checksum of the settings is on the Pod, and changes with them alone."""
    annotation = "checksum/settings"

    def checksum(*settings: str) -> str:
        metadata = deployment(*settings)["spec"]["template"]["metadata"]
        return str(metadata["annotations"][annotation])

    assert checksum() == checksum("podAnnotations.a=b")
    assert checksum() != checksum("runs.defaultImage=other")


def test_crds_are_installed_and_kept_as_asked() -> None:
    """The CRDs are the ones in the folder; `keep` puts Helm's policy on them."""
    folder = {
        crd["metadata"]["name"]: crd
        for file in (CHART.parents[1] / "crds").glob("*.yaml")
        for crd in [yaml.safe_load(file.read_text())]
    }
    crds = of_kind(render(), "CustomResourceDefinition")
    assert {crd["metadata"]["name"] for crd in crds} == set(folder)
    for crd in crds:
        assert crd["spec"] == folder[crd["metadata"]["name"]]["spec"]
        assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    for crd in of_kind(render("crds.keep=false"), "CustomResourceDefinition"):
        assert "annotations" not in crd["metadata"]
    assert of_kind(render("crds.install=false"), "CustomResourceDefinition") == []


def test_every_object_has_the_common_labels() -> None:
    """`app.kubernetes.io/*` on every object and on the Pod."""
    wanted = {f"app.kubernetes.io/{name}" for name in (
        "name", "instance", "version", "component", "part-of", "managed-by",
    )}  # fmt: skip
    objects = render("watchNamespaces={a}") + render()
    for labels in [obj["metadata"]["labels"] for obj in objects] + [
        deployment()["spec"]["template"]["metadata"]["labels"]
    ]:
        assert wanted <= labels.keys()


def test_the_pod_takes_what_operators_set() -> None:
    """The usual values arrive where they belong."""
    spec = deployment(
        "image.repository=r.example/op", "image.tag=v9", "image.pullPolicy=Always",
        "imagePullSecrets[0].name=pull", "podAnnotations.a=b", "podLabels.team=data",
        "priorityClassName=high", "nodeSelector.disk=ssd", "tolerations[0].key=gpu",
        "affinity.nodeAffinity.x=y", "extraEnv[0].name=HTTPS_PROXY", "extraEnv[0].value=p",
        "resources.limits.cpu=1", "logLevel=debug", "logFormat=text",
    )["spec"]["template"]  # fmt: skip
    pod = spec["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "r.example/op:v9"
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["limits"]["cpu"] == 1
    assert container["env"][-1] == {"name": "HTTPS_PROXY", "value": "p"}
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert spec["metadata"]["annotations"]["a"] == "b"
    assert spec["metadata"]["labels"]["team"] == "data"
    assert pod["priorityClassName"] == "high"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu"}]
    assert pod["affinity"] == {"nodeAffinity": {"x": "y"}}
    assert environment("logLevel=debug")["FLOW_OPERATOR_LOG_LEVEL"] == "debug"
    assert environment("logFormat=text")["FLOW_OPERATOR_LOG_FORMAT"] == "text"


def test_names() -> None:
    """A release that is called like the chart is not named twice; names can be replaced."""

    def name(*settings: str, release: str = "flow-operator") -> str:
        (found,) = of_kind(render(*settings, release=release), "Deployment")
        return str(found["metadata"]["name"])

    assert name() == "flow-operator"
    assert name(release="data") == "data-flow-operator"
    assert name("nameOverride=flows", release="data") == "data-flows"
    assert name("fullnameOverride=x") == "x"
    assert len(name(release="r" * 53)) <= 63


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("image.tags=1", "/image"),
        ("replicaCount=two", "/replicaCount"),
        ("replicas=2", "replicas"),
        ("topologySpreadConstraints[0].maxSkew=1", "/topologySpreadConstraints/0"),
        ("logLevel=loud", "/logLevel"),
        ("logFormat=xml", "/logFormat"),
        ("watchNamespaces=a", "/watchNamespaces"),
        ("watchNamespaces={A_b}", "/watchNamespaces/0"),
        ("watchNamespaces={a,a}", "/watchNamespaces"),
        ("crds.keep=maybe", "/crds/keep"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.repository=", "/image/repository"),
        ("runs.defaultImage=", "/runs/defaultImage"),
        ("runs.podSecurity.setIDs=1", "/runs/podSecurity/setIDs"),
        ("rbac.secrets=true", "/rbac"),
        ("extraEnv[0].value=x", "/extraEnv/0"),
    ],
)
def test_wrong_values_are_refused_by_name(setting: str, named: str) -> None:
    """The schema of the values refuses typing errors and says where they are."""
    done = helm("template", "x", str(CHART), "--kube-version", "1.34.0", f"--set={setting}")
    assert done.returncode != 0
    assert named in done.stderr


def test_every_value_is_described_and_in_the_schema() -> None:
    """values.yaml, its comments and values.schema.json list the same values."""
    text = (CHART / "values.yaml").read_text()
    schema = json.loads((CHART / "values.schema.json").read_text())
    described = [value.path for value in values(text)]
    assert len(described) == len(set(described))
    assert _leaves(schema) - {"global"} == set(described)
    for path in _leaves(yaml.safe_load(text), schema=schema):
        assert path in described


def _leaves(tree: Object, prefix: str = "", schema: Object | None = None) -> set[str]:
    """Paths of values: of a JSON Schema, or of values with one that says where an object is one."""
    shape = tree if schema is None else schema
    if shape.get("additionalProperties", True) is not False or "requests" in shape["properties"]:
        return {prefix}
    inner = shape["properties"]
    return {
        leaf
        for name in (inner if schema is None else tree)
        for leaf in _leaves(
            inner[name] if schema is None else tree[name],
            f"{prefix}.{name}".lstrip("."),
            None if schema is None else inner[name],
        )
    }


@pytest.mark.parametrize("watched", [[], ["data", "ml"]], ids=["all", "some"])
def test_the_notes_lead_to_a_first_run(tmp_path: Path, watched: list[str]) -> None:
    """What Helm prints is a manifest that is accepted, in a namespace that is watched."""
    # Helm prints notes only where it can reach a cluster: here they are put into an object.
    copy = tmp_path / "chart"
    shutil.copytree(CHART, copy)
    (copy / "templates/NOTES.txt").rename(copy / "NOTES.txt")
    (copy / "templates/notes.yaml").write_text(
        'notes: |\n  {{- tpl (.Files.Get "NOTES.txt") . | nindent 2 }}\n'
    )
    done = helm(
        "template", "flow", str(copy), "--namespace", "flow-system", "--kube-version", "1.34.0",
        "--show-only", "templates/notes.yaml", f"--set-json=watchNamespaces={json.dumps(watched)}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    notes = yaml.safe_load(done.stdout)["notes"]
    assert "deployment/flow-flow-operator" in notes
    assert f"kubectl --namespace {watched[0] if watched else 'default'} apply" in notes
    first, second = (
        yaml.safe_load(part.partition("\n     YAML")[0]) for part in notes.split("<<YAML\n")[1:]
    )
    assert validate("FlowDeployment", first) == []
    del second["metadata"]["generateName"]
    assert validate("FlowRun", {**second, "metadata": {"name": "hello-1"}}) == []


def test_an_older_kubernetes_is_refused() -> None:
    """The CRDs need selectable fields: the chart says so before the API server does."""
    done = helm("template", "x", str(CHART), "--kube-version", "1.30.0")
    assert "1.31" in done.stderr
