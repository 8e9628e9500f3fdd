"""Ten thousand deployments at rest: what the operator holds, does, and takes to come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.places import BenchError
from tests.bench.scale import objects, usage
from tests.bench.scale.api import Api, Seen
from tests.bench.scale.bench import Options, say, until
from tests.bench.scale.figures import Judged, Section
from tests.bench.scale.load import Loaded
from tests.bench.scale.operators import Operator, running
from tests.bench.scale.plane import Plane
from tests.bench.scale.usage import MIB, Memory, Meter
from tests.bench.tables import Row

_REST_SECONDS = 330.0
"""Longer than the time between two resyncs of the operator."""

_PROBES = {"aaa-first": "probe-0001", "zzz-last": "probe-0002"}
"""Namespace and name: listed before and after all others."""

_SHOWN = 12
_INSIDE = "tests.bench.scale.inside"


async def measure(plane: Plane, api: Api, options: Options, loaded: Loaded) -> Section:
    """Measure restarts, then rest, then whose the memory is."""
    section = Section(
        "standing", f"{loaded.count:,} deployments with schedules, one finished run each"
    )
    await _restarts(plane, api, options, section)
    memory = await _rest(plane, api, options, section)
    await _breakdown(plane, api, options, loaded, memory, section)
    section.data["load"] = asdict(loaded)
    section.notes.append(
        f"Seen for the first time, with their statuses to write, the operator was at rest after "
        f"{loaded.adopted:.0f} s, {loaded.adoption_cpu:.0f} s of processor time and "
        f"{loaded.adoption_requests:,} requests."
    )
    return section


async def _restarts(plane: Plane, api: Api, options: Options, section: Section) -> None:
    """Start the operator while ticks are due, and see when they are served."""
    repeats = options.rounds or (1 if options.quick else 3)
    for namespace in _PROBES:
        await api.namespace(namespace)
    found = []
    for number in range(repeats):
        say(f"standing: restart {number + 1} of {repeats}")
        async with _due(api) as arrived:
            operator = Operator(plane, options.build)
            before = (await api.requests()).operator
            await operator.start()
            try:
                ready = await operator.ready()
                await until(arrived.complete, "due ticks", 300)
                await _quiet(operator)
                cpu, took = usage.cpu(operator.pid), time.time() - operator.started
                peak = operator.memory().peak
            finally:
                await operator.stop()
        served = max(arrived.at.values()) - operator.started
        requests = (await api.requests()).operator - before
        say(
            f"ready after {ready:.1f} s, due ticks served after {served:.1f} s, idle after "
            f"{took:.0f} s and {cpu:.1f} s of processor time"
        )
        found.append(
            {
                "ready": ready,
                "served": served,
                "quiet": took,
                "cpu": cpu,
                "peak": peak,
                "requests": requests,
            }
        )
    rows: list[Row] = [("restart", "median", "highest", "")]
    for name, what, unit, scale in (
        ("ready", "from exec to /readyz", "s", 1.0),
        ("served", "to the Job of a due tick, of the last in the list", "s", 1.0),
        ("quiet", "until it idles", "s", 1.0),
        ("cpu", "processor time until then", "s", 1.0),
        ("requests", "its requests until then", "", 1.0),
        ("peak", "highest RSS until then", "MiB", 1 / MIB),
    ):
        values = [each[name] * scale for each in found]
        digits = 0 if name in ("requests", "peak") else 1
        rows.append((what, f"{median(values):,.{digits}f}", f"{max(values):,.{digits}f}", unit))
    section.tables.append(rows)
    section.data["restarts"] = found
    section.goals += [
        Judged("restart: ready", max(each["ready"] for each in found), 30, "s", 1),
        Judged("restart: due tick served", max(each["served"] for each in found), 30, "s", 1),
    ]


@dataclass
class _Probes:
    """When the first Jobs came of deployments that are due from the operator's first second on."""

    at: dict[str, float] = field(default_factory=dict)

    def note(self, seen: Seen) -> None:
        owner = objects.owner_of(seen.name)
        if seen.type == "ADDED" and owner and owner in _PROBES.values():
            self.at.setdefault(owner, seen.at)

    def complete(self) -> bool:
        return len(self.at) == len(_PROBES)


@contextlib.asynccontextmanager
async def _due(api: Api) -> AsyncIterator[_Probes]:
    probes = _Probes()
    for namespace, name in _PROBES.items():
        await api.create(objects.deployment(namespace, name, schedules=objects.every(5)))
    await asyncio.sleep(6)
    try:
        async with api.watching("Job", None, probes.note):
            yield probes
    finally:
        for namespace in _PROBES:
            await api.delete_all(namespace, "FlowDeployment", "FlowRun", "Job", "Event")


async def _quiet(operator: Operator, patience: float = 300.0) -> None:
    """Wait until the operator takes hardly any processor time."""
    deadline = time.time() + patience
    while time.time() < deadline:
        before = usage.cpu(operator.pid)
        await asyncio.sleep(2)
        if usage.cpu(operator.pid) - before < 0.2:
            return
    raise BenchError("the operator never idles")


async def _rest(plane: Plane, api: Api, options: Options, section: Section) -> Memory:
    seconds = 10.0 if options.quick else _REST_SECONDS
    async with running(Operator(plane, options.build)) as operator:
        await api.settled(quiet=5)
        await _quiet(operator)
        say(f"standing: {seconds:.0f} s of rest")
        pids = {"operator": operator.pid}
        pids |= {name: plane.pid(name) for name in ("kube-apiserver", "etcd")}
        before, meter = await api.requests(), Meter(pids)
        slices = []
        while meter.elapsed() < seconds:
            start, began = meter.read()["operator"], meter.elapsed()
            await asyncio.sleep(min(10.0, seconds - meter.elapsed() + 0.01))
            slices.append((meter.read()["operator"] - start) / (meter.elapsed() - began))
        cpu, took = meter.read(), meter.elapsed()
        made = (await api.requests()).since(before)
        memory = operator.memory()
    say(f"{memory.rss / MIB:.0f} MiB, {cpu['operator'] / took:.2%} of a core")
    share = {name: value / took * 100 for name, value in cpu.items()}
    a_minute = made.operator / took * 60
    by_verb = {
        f"{verb} {resource}": number
        for (verb, resource), number in made.by_verb.most_common()
        if resource.split("/")[0] in ("flowdeployments", "flowruns", "jobs", "pods", "events")
    }
    section.tables.append(
        [
            (f"at rest, {took:.0f} s", "", ""),
            ("operator, of a core", f"{share['operator']:.2f}", "%"),
            ("the same, median of 10 s", f"{median(slices) * 100:.2f}", "%"),
            ("API server, of a core", f"{share['kube-apiserver']:.2f}", "%"),
            ("etcd, of a core", f"{share['etcd']:.2f}", "%"),
            ("the operator's requests a minute", f"{a_minute:.1f}", ""),
        ]
    )
    section.data["rest"] = {
        "seconds": took,
        "cpu": cpu,
        "slices": slices,
        "requests": made.operator,
        "byVerb": by_verb,
        "memory": asdict(memory),
    }
    section.goals += [
        Judged("memory (RSS) at rest", memory.rss / MIB, 400, "MiB", 0),
        Judged("processor at rest", share["operator"], 2, "% of a core"),
    ]
    return memory


async def _breakdown(
    plane: Plane, api: Api, options: Options, loaded: Loaded, memory: Memory, section: Section
) -> None:
    imports = "import flow_operator.__main__, flow_operator.shell.app"
    bare = _python("pass", options)
    imported = _python(imports, options)
    rows: list[Row] = [("memory", "RSS MiB", "PSS MiB", "more RSS")]
    steps = (
        ("an interpreter", bare),
        ("with the operator's imports", imported),
        ("running, on an empty cluster", loaded.empty),
        (f"with {loaded.count:,} deployments, at rest", memory),
    )
    last = 0
    for what, each in steps:
        more = each.rss - last
        rows.append((what, _mib(each.rss), _mib(each.pss), _mib(more)))
        last = each.rss
    rows.append(("the highest RSS of that process", _mib(memory.peak), "", ""))
    section.tables.append(rows)
    section.data["memory"] = {what: asdict(each) for what, each in steps}
    say("standing: whose memory it is, in a process that traces it")
    try:
        owners = await _owners(plane, api, options)
    except BenchError as error:  # it takes many times as long when it is traced
        say(f"that is left out: {error}")
        section.notes.append(
            "Who asked for the memory is not known: the traced process was too slow."
        )
        return
    section.data["owners"] = owners
    shown = Counter(owners["owners"]).most_common(_SHOWN)
    rest = owners["traced"] - sum(size for _, size in shown)
    section.tables.append(
        [
            ("memory by who asked for it (traced)", "MiB"),
            *((name, _mib(size)) for name, size in shown),
            ("others", _mib(rest)),
            ("all that is traced", _mib(owners["traced"])),
            ("RSS beyond that: interpreter, libraries, freed", _mib(memory.rss - owners["traced"])),
        ]
    )


async def _owners(plane: Plane, api: Api, options: Options) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "owners.json"
        build = options.build
        operator = Operator(plane, build, arguments=("-m", _INSIDE, "trace", str(file)))
        await operator.start()
        try:
            await operator.ready(patience=600)
            await api.settled(quiet=5)
            await _quiet(operator)
            operator.signal(signal.SIGUSR1)
            await until(file.exists, "the traces", 300)
            found: dict[str, Any] = json.loads(file.read_text())
        finally:
            await operator.stop()
    return found


def _python(code: str, options: Options) -> Memory:
    """The memory of an interpreter that has run some code."""
    command = [sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()"]
    environment = {"PYTHONPATH": str(options.build.distribution / "src")}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        process.stdout.readline()
        found = usage.memory(process.pid)
        process.kill()
    return found


def _mib(size: float) -> str:
    return f"{size / MIB:.1f}"
