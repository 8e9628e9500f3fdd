"""A fetch has its own resources: too little memory is said in words, and can be raised."""

from __future__ import annotations

import pytest

from tests.cluster import Cluster
from tests.e2e.kube import Namespace, condition, phase
from tests.e2e.servers import ACCESS_KEY, SECRET_KEY, Servers

FLOW = "def main():\n    return {'rows': len(open('data.txt').readlines())}\n"


@pytest.fixture(scope="module", autouse=True)
def _flows(cluster: Cluster, namespace: Namespace, servers: Servers) -> None:
    assert cluster.image("flow-fetcher-full").split(":")[0].endswith("flow-fetcher-full")
    servers.put_objects("memory", "prod/", {"flow.py": FLOW, "data.txt": "1\n" * 2000})
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    fsspec = {
        "url": "s3://memory/prod",
        "options": {"endpoint_url": servers.s3_endpoint},
        "insecure": True,
        "secretRef": {"name": "s3-keys"},
    }

    def flow(name: str, memory: str) -> dict[str, object]:
        resources = {"requests": {"memory": "16Mi"}, "limits": {"memory": memory}}
        return namespace.deployment(
            name,
            source={"fsspec": fsspec},
            entrypoint="flow.py:main",
            fetch={"resources": resources},
        )

    namespace.apply(
        namespace.secret("s3-keys", **keys),
        flow("too-little", "32Mi"),
        flow("enough", "512Mi"),
    )


def test_a_fetch_that_is_killed_for_its_memory_says_what_to_raise(namespace: Namespace) -> None:
    """The run ends in FetchOutOfMemory, and its message names the field."""
    run = namespace.finished_run("too-little", 120)
    verdict = condition(run, "Succeeded")
    assert (verdict["status"], verdict["reason"]) == ("False", "FetchOutOfMemory"), verdict
    assert "spec.fetch.resources.limits.memory" in verdict["message"]
    (pod,) = namespace.pods_of(run)
    (fetch,) = pod["spec"]["initContainers"]
    assert fetch["resources"] == {"requests": {"memory": "16Mi"}, "limits": {"memory": "32Mi"}}


def test_the_same_source_with_enough_memory(namespace: Namespace) -> None:
    """The full image has what fsspec needs, and runs in a restricted namespace."""
    run = namespace.finished_run("enough", 120)
    assert phase(run) == "Succeeded", condition(run, "Succeeded")
    assert run["status"]["result"] == {"rows": 2000}
    assert run["status"]["revision"].startswith("sha256:")
    (pod,) = namespace.pods_of(run)
    assert pod["spec"]["initContainers"][0]["image"].split(":")[0].endswith("flow-fetcher-full")
