"""The smallest flow: it prints a greeting and returns what it did."""

import os


def main(name: str = "world", times: int = 1) -> dict:
    for _ in range(times):
        print(f"Hello, {name}!")
    revision = os.environ["FLOW_REVISION"]  # the commit; for a bucket sha256:…
    print(f"This is revision {revision.removeprefix('sha256:')[:12]}.")
    return {"greeted": name, "times": times}
