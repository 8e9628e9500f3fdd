"""The smallest flow: it prints a greeting and returns what it did."""

import os


def main(name: str = "world", times: int = 1) -> dict:
    for _ in range(times):
        print(f"Hello, {name}!")
    print(f"I am commit {os.environ['FLOW_REVISION'][:12]} of my repository.")
    return {"greeted": name, "times": times}
