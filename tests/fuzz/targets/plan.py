"""Plans: JSON that may be anything. Only `InvalidPlanError`, and no path that leads upwards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from flow_fetcher.errors import InvalidPlanError
from flow_fetcher.plan import parse_plan
from flow_fetcher.sources import open_source
from tests.fuzz.mutation import NASTY, NUMBERS, Change
from tests.fuzz.oracle import Violation, judge_error
from tests.fuzz.targets import Target


def run(data: bytes) -> bool:
    try:
        plan = parse_plan(data)
        paths = [plan.working_directory, (plan.entrypoint and plan.entrypoint.file) or ""]
        if any(path.startswith("/") or ".." in path.split("/") for path in paths):
            raise Violation(f"accepts a path that leads out of the tree: {paths}")
        open_source(plan)
    except InvalidPlanError as error:
        judge_error(error)
        return False
    return True


_WORDS = [
    "https://git.example.com/a.git", "http://h/x", "https://u:p@h/x", "https://[::1",
    "https://h:x/", "https://h/?q#f", "https:///x", "main", "refs/heads/main", "a..b", "-x",
    "v1.0", "^1",
    "0" * 40, "A" * 40, "f" * 64, "x.py:main", "../x.py:main", "/x.py:main", "a/../b.py:f", "m.n:f",
    "m:", ":f", "a.py:", "..", "/", "a/b", "./a", "a//b", "s3", "gcs", "azure", "git", "http",
    "bucket", "b", "prefix/", "key.zip", "a.tar.gz", "a.tar.zst", "*", "**/x", "[", "\u202e",
    "\ud800", "ftp://h",
    "http://localhost:1", "eu-central-1", "é", "", " ", "x" * 9000, "\n", "true", "1e999",
]  # fmt: skip
_KEYS = [
    "version", "run", "source", "type", "git", "s3", "gcs", "azure", "url", "ref", "branch", "tag",
    "commit", "name", "secretName", "revision", "workingDirectory", "entrypoint", "parameters",
    "messageBudget", "insecure", "provider", "bucket", "prefix", "key", "endpoint", "region",
    "container", "account", "include", "exclude", "archive", "stripComponents", "sparseCheckout",
    "options",
]  # fmt: skip


def _value(rng: Random, depth: int = 0) -> Any:
    what = rng.randrange(9)
    if what == 0:
        return rng.choice((None, True, False, 1.5, -1, float("nan"), float("inf")))
    if what == 1:
        return rng.choice(NUMBERS)
    if what == 2 and depth < 3:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if what == 3 and depth < 3:
        return {rng.choice(_KEYS): _value(rng, depth + 1) for _ in range(rng.randrange(4))}
    if what == 4:
        return rng.choice(NASTY).decode("utf-8", "surrogateescape")
    return rng.choice(_WORDS)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def mutate(data: bytes, rng: Random, change: Change) -> bytes:
    if rng.random() < 0.25:
        return change(data, 1 << 14)
    try:
        plan = json.loads(data)
    except (ValueError, RecursionError):
        plan = json.loads(rng.choice([seed for _, seed in seeds()]))
    for _ in range(rng.choice((1, 1, 2, 3))):
        places = list(_places(plan))
        if not places:
            return json.dumps(_value(rng)).encode()
        holder, key = rng.choice(places)
        what = rng.randrange(5)
        if what <= 1:
            holder[key] = _value(rng)
        elif what == 2:
            del holder[key]
        elif isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = _value(rng)
        elif isinstance(holder[key], str):
            text = change(holder[key].encode("utf-8", "surrogatepass"), 200)
            holder[key] = text.decode("utf-8", "surrogateescape")
    return json.dumps(plan, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")


def seeds() -> Iterator[tuple[str, bytes]]:
    sources: list[tuple[str, dict[str, Any]]] = [
        ("git", {"url": "https://git.example.com/a.git", "ref": {"branch": "main"}}),
        ("git", {"url": "http://h/a", "insecure": True, "ref": {"commit": "0" * 40}}),
        ("s3", {"bucket": "flows", "prefix": "a/", "endpoint": "http://localhost:1"}),
        ("s3", {"bucket": "flows", "key": "a.zip", "stripComponents": 1}),
        ("gcs", {"bucket": "flows", "key": "a.tar.gz"}),
        ("azure", {"account": "acme", "container": "flows", "prefix": "x"}),
    ]
    for number, (kind, source) in enumerate(sources):
        plan = {
            "version": 1,
            "run": {"name": "r"},
            "source": {"type": kind, kind: source},
            "secretName": "token" if number % 2 else None,
            "revision": None,
            "workingDirectory": "pipelines",
            "entrypoint": "etl/nightly.py:main" if number % 2 else "etl.nightly:main",
            "parameters": {"day": "today"},
            "messageBudget": 4096,
        }
        yield f"{kind}-{number}", json.dumps(plan).encode()


def target(name: str) -> Target:
    del name
    return Target(run, mutate, seeds)
