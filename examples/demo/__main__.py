"""`make demo`: a flow from a real git server on this machine, without a cluster, Docker or root.

It serves `examples/flows` over HTTPS to those who know a token, runs a function of one commit with
`kubectl flow run --local`, and shows what a mistake looks like.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

FLOWS = Path(__file__).parents[1] / "flows"
TOKEN = "demo%token@+/"

DEPLOYMENT = """\
apiVersion: flow-operator.io/v1alpha1
kind: FlowDeployment
metadata:
  name: hello
spec:
  source:
    git:
      url: {url}
      ref: {ref}
      secretRef: {{name: git-token}}
  entrypoint: hello.py:main
  parameters: {{name: Ada, times: 2}}
"""

SECRET = """\
---
apiVersion: v1
kind: Secret
metadata:
  name: git-token
stringData:
  token: "{token}"
  ca.crt: |
{authority}
"""


def main() -> int:
    started = time.monotonic()
    if shutil.which("git") is None:
        print("error: the demo serves a git repository, and there is no git: install it, for")
        print("example with `apt-get install git` or `brew install git`, and run it again.")
        return 1
    from tests.servers.authority import Authority
    from tests.servers.git import GitServer

    with tempfile.TemporaryDirectory(prefix="flow-demo-") as folder:
        commit = make_repository(Path(folder, "flows.git"), Path(folder, "tree"))
        authority = Authority()
        with GitServer(Path(folder), users={"*": TOKEN}, authority=authority) as server:
            url = f"{server.url}/flows.git"
            secret = SECRET.format(
                token=TOKEN, authority=textwrap.indent(authority.pem.strip(), "    ")
            )

            say(
                f"A git server on this machine has examples/flows, at commit {commit[:12]}.\n"
                "This FlowDeployment asks for that commit; its Secret has a token and the CA."
            )
            good = DEPLOYMENT.format(url=url, ref=f"{{commit: {commit}}}")
            print(textwrap.indent(good, "    "), flush=True)
            code = run_local(Path(folder, "flow.yaml"), good + secret)
            if code != 0:
                return 1

            say("With a mistake, `branch: mian`, it says what is wrong and what to do about it.")
            bad = DEPLOYMENT.format(url=url, ref="{branch: mian}")
            code = run_local(Path(folder, "mistake.yaml"), bad + secret)
            if code != 1:
                return 1

    say(f"That was the demo, in {time.monotonic() - started:.1f} seconds. Next: the README.")
    return 0


def make_repository(repository: Path, tree: Path) -> str:
    """Makes a repository of the example flows, always with the same commit; returns that."""
    shutil.copytree(FLOWS, tree, ignore=shutil.ignore_patterns("__pycache__"))
    person = {"NAME": "Ada", "EMAIL": "ada@example.com", "DATE": "2026-11-22T03:00:00Z"}
    environment = {
        "PATH": os.environ["PATH"],
        "GIT_DIR": str(repository),
        "GIT_WORK_TREE": str(tree),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{key}": person[key] for role in ("AUTHOR", "COMMITTER") for key in person},
    }

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("symbolic-ref", "HEAD", "refs/heads/main")
    git("add", ".")
    git("commit", "--quiet", "--message", "Say hello")
    return git("rev-parse", "HEAD")


def run_local(file: Path, manifests: str) -> int:
    """Runs what a user would type; returns its exit code."""
    file.write_text(manifests)
    print(f"    $ kubectl flow run --local -f {file.name}\n", flush=True)
    command = [sys.executable, "-m", "flow_client", "run", "--local", "-f", str(file)]
    return subprocess.run(command, check=False).returncode


def say(text: str) -> None:
    bold = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{text.join(bold)}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
