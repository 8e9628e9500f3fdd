"""The credential of a fetch appears nowhere, says a scanner that finds every planted copy."""

from __future__ import annotations

import base64
import json
import random
import shlex
import time
from collections.abc import Mapping
from urllib.parse import quote

import pytest

from tests.cluster import Cluster
from tests.e2e import artefacts
from tests.e2e.kube import Namespace, Object, phase, wait_for
from tests.e2e.scan import findings
from tests.e2e.servers import TOKEN, USER, Servers

FLOW = """\
import time

def main(seconds: int):
    time.sleep(seconds)
    with open("/etc/flow/credentials/token") as file:
        print(file.read())
"""
WRONG = "wr0ng%ey@with+slash/and~tail3W"


@pytest.mark.parametrize("alignment", range(8))
def test_scanner_knows_every_form(alignment: int) -> None:
    """Raw, URL-encoded in either case, and base64 at any alignment in either alphabet."""
    noise = random.Random(alignment).randbytes(alignment)
    pair = noise + f"{USER}:{TOKEN}".encode()
    planted = {
        "raw": TOKEN.encode(),
        "url": quote(TOKEN, safe="").encode(),
        "lower": quote(TOKEN, safe="").replace("%2F", "%2f").replace("%2B", "%2b").encode(),
        "base64": base64.b64encode(noise + TOKEN.encode() + b"tail"),
        "pair": base64.b64encode(pair),
        "urlsafe pair": base64.urlsafe_b64encode(pair),
        "nothing": base64.b64encode(noise + TOKEN[:-1].encode()),
    }
    found = {name.split(":")[0] for name in findings(TOKEN, planted)}
    assert found == set(planted) - {"nothing"}


def _look_everywhere(
    namespace: Namespace, cluster: Cluster, operator: str, pod: str, processes: Mapping[str, bytes]
) -> dict[str, bytes]:
    return {
        **artefacts.objects(namespace),
        **artefacts.logs(namespace),
        **artefacts.operator_log(cluster, operator),
        **artefacts.volume(namespace, pod),
        **processes,
    }


def _running_pod(namespace: Namespace, deployment: str) -> str:
    def look() -> str | None:
        runs = namespace.runs(deployment)
        if not runs or phase(runs[0]) != "Running":
            return None
        (pod,) = namespace.pods_of(runs[0])
        return str(pod["metadata"]["name"])

    found: str = wait_for(look, 60, f"{deployment} to run", namespace.explain)
    return found


def test_token_appears_nowhere(
    namespace: Namespace, cluster: Cluster, operator: str, servers: Servers
) -> None:
    """Neither a run that succeeds in fetching nor one that is refused shows its token anywhere."""
    commit = servers.put_repository("leaks", {"flow.py": FLOW})
    git = {
        "url": servers.git_url("leaks"),
        "provider": "github",
        "secretRef": {"name": "git-token"},
    }
    refused = {**git, "secretRef": {"name": "wrong-token"}}
    watch = artefacts.Processes()
    with watch.watching():
        namespace.apply(
            namespace.secret("git-token", token=TOKEN, **{"ca.crt": servers.ca}),
            namespace.secret("wrong-token", token=WRONG, **{"ca.crt": servers.ca}),
            namespace.deployment(
                "quiet",
                source={"git": git},
                entrypoint="flow.py:main",
                parameters={"seconds": 15},
                env=[{"name": "HELLO", "value": "x"}],
            ),
            namespace.deployment("refused", source={"git": refused}, entrypoint="flow.py:main"),
        )
        pod = _running_pod(namespace, "quiet")
        namespace.finished_run("refused")
        everything = _look_everywhere(namespace, cluster, operator, pod, {})
        run = namespace.finished_run("quiet")
    everything |= watch.seen | artefacts.objects(namespace) | artefacts.logs(namespace)
    assert run["status"]["revision"] == commit

    # What was looked at is what there is to look at: the fetcher and the runner were seen at work.
    seen = b"\n".join(watch.seen.values())
    assert b"flow-fetcher" in seen
    assert b"/flow/run/runner.py" in seen
    assert commit.encode() in everything["volumes of the main container"]
    assert b"FLOW_RUN_NAME" in everything["processes of the main container"]

    assert findings(TOKEN, everything) == []
    assert findings(WRONG, everything) == []


def test_main_container_cannot_read_the_credentials(namespace: Namespace) -> None:
    """The flow of the test above tried to print them: the file is not there."""
    run = namespace.finished_run("quiet")
    assert run["status"]["conditions"][0]["reason"] == "FlowFailed"
    (pod,) = namespace.pods_of(run)
    log = namespace.logs(pod, "flow")
    assert "FileNotFoundError" in log
    assert "/etc/flow/credentials/token" in log
    (flow,) = pod["spec"]["containers"]
    assert all("credentials" not in mount["name"] for mount in flow["volumeMounts"])


def test_planted_copies_are_found_in_every_kind_of_artefact(
    namespace: Namespace, cluster: Cluster, operator: str, servers: Servers
) -> None:
    """A flow that leaks a token on purpose, in another form each, is caught at every place."""
    planted = "pl4nted%ey@with+slash/and~tail5P"
    pair = base64.b64encode(f"{USER}:{planted}".encode()).decode()
    script = (
        f"echo {shlex.quote(quote(planted, safe=''))}; "
        f"printf %s {shlex.quote(planted)} > /flow/leak; sleep 15"
    )
    leaky = "def main():\n    return " + repr({"leak": planted}) + "\n"
    servers.put_repository("leaky", {"flow.py": leaky, "empty.txt": ""})
    token = {"name": "git-token"}
    git = {"url": servers.git_url("leaky"), "provider": "github", "secretRef": token}
    watch = artefacts.Processes()
    with watch.watching():
        namespace.apply(
            namespace.deployment(
                "leaky",
                source={"git": git},
                command=["sh", "-c", script],
                env=[{"name": "AUTHORIZATION", "value": f"Basic {pair}"}],
            ),
            namespace.deployment("leaky-result", source={"git": git}, entrypoint="flow.py:main"),
        )
        pod = _running_pod(namespace, "leaky")
        namespace.create_objects(_event(namespace, planted))
        namespace.finished_run("leaky-result")
        time.sleep(0.5)
        everything = _look_everywhere(namespace, cluster, operator, pod, watch.seen)
    found = findings(planted, everything)
    places = {
        "log": "log of",
        "events": "events:",
        "status": "flowruns:",
        "Job": "jobs:",
        "Pod": "pods:",
        "argv": "cmdline of process",
        "environment": "environ of process",
        "volume": "volumes of the main container",
        "processes": "processes of the main container",
    }
    missed = [name for name, start in places.items() if not any(f.startswith(start) for f in found)]
    assert missed == [], found


def _event(namespace: Namespace, text: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "planted", "namespace": namespace.name},
        "involvedObject": {
            "kind": "Namespace",
            "name": namespace.name,
            "namespace": namespace.name,
        },
        "reason": "Planted",
        "message": json.dumps({"url": f"https://{USER}:{quote(text, safe='')}@host"}),
        "type": "Normal",
    }
