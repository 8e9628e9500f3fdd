"""A run over one or several targets: shares the time out, starts the engines, adds up."""

from __future__ import annotations

import json
import queue
import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.environment import environment, python
from tests.fuzz.plain import CORPUS
from tests.fuzz.targets import load

_STATUS = re.compile(rb"cov: (\d+) ft: (\d+) corp: (\d+)")
_LIMITS = ["-rss_limit_mb=768", "-timeout=20", "-use_value_profile=0", "-reload=0"]
_MOST_RESTARTS = 20


@dataclass
class Result:
    """What became of one target."""

    target: str
    seconds: float = 0.0
    cpu: float = 0.0
    executions: int = 0
    accepted: int = 0
    coverage: int = 0
    features: int = 0
    corpus: int = 0
    restarts: int = 0
    problems: list[str] = field(default_factory=list)


def campaign(
    targets: list[str], seconds: float, state: Path, source: Path, jobs: int, seed: int
) -> list[Result]:
    """Fuzz these targets for so many seconds altogether; findings lie in `state / "findings"`."""
    interpreter = python()
    weights = {name: load(name).weight for name in targets}
    share = seconds * min(jobs, len(targets)) / sum(weights.values())
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in sorted(targets, key=lambda each: -weights[each]):
        todo.put(name)
    results: list[Result] = []

    def work() -> None:
        while True:
            try:
                name = todo.get_nowait()
            except queue.Empty:
                return
            result = _fuzz(name, share * weights[name], state, source, interpreter, seed)
            results.append(result)
            print(line(result), flush=True)

    workers = [threading.Thread(target=work) for _ in range(min(jobs, len(targets)))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sorted(results, key=lambda each: targets.index(each.target))


def _fuzz(
    name: str, seconds: float, state: Path, source: Path, interpreter: Path, seed: int
) -> Result:
    result = Result(name)
    corpus = state / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    folders = [corpus, CORPUS / name] if (CORPUS / name).is_dir() else [corpus]
    for label, data in load(name).seeds():
        (corpus / f"seed-{label}").write_bytes(data)
    end = time.monotonic() + seconds
    log = state / f"{name}.log"
    log.unlink(missing_ok=True)
    while (left := end - time.monotonic()) > 1 and result.restarts <= _MOST_RESTARTS:
        (state / f"{name}.json").unlink(missing_ok=True)
        command = [interpreter, "-m", "tests.fuzz.engine", name, state]
        command += [f"-max_total_time={int(left)}", f"-seed={seed + result.restarts}", *_LIMITS]
        command += [f"-artifact_prefix={state}/killed-{name}-", *folders]
        with log.open("ab") as sink:
            done = subprocess.run(
                [str(word) for word in command], stdout=sink, stderr=sink,
                env=environment(source), check=False, cwd=state,
            )  # fmt: skip
        _add(result, state / f"{name}.json", log)
        if done.returncode == 0:
            break
        result.restarts += 1
        result.problems.append(f"the engine ended with {done.returncode}: see {log.name}")
    findings = state / "findings"
    findings.mkdir(exist_ok=True)
    for killed in state.glob(f"killed-{name}-*"):
        shutil.move(killed, findings / killed.name.removeprefix("killed-"))
    return result


def _add(result: Result, note: Path, log: Path) -> None:
    if note.exists():
        counts = json.loads(note.read_text())
        result.executions += counts["executions"]
        result.accepted += counts["accepted"]
        result.seconds += counts["seconds"]
        result.cpu += counts["cpu"]
    if found := _STATUS.findall(log.read_bytes()):
        result.coverage, result.features, result.corpus = (int(each) for each in found[-1])


def line(result: Result) -> str:
    """One line of the table."""
    return (
        f"{result.target:<9} {result.executions:>10,} executions  {result.accepted:>9,} accepted  "
        f"{result.seconds:>6.0f} s  {result.cpu:>6.0f} s CPU  cov {result.coverage:>5}  "
        f"ft {result.features:>6}  corpus {result.corpus:>5}"
        + "".join(f"\n          {problem}" for problem in result.problems)
    )
