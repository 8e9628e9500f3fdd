"""Prints what the scale benches found, and writes it into the documentation."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from tests.bench import tables
from tests.bench.places import sources
from tests.bench.scale.figures import Section
from tests.bench.scale.operators import OPERATOR

_GOALS: tables.Row = ("goal", "", "measured", "")


def header(distribution: Path) -> dict[str, str]:
    """Where and when this was measured, and what."""
    return {**tables.machine(), "operator": _revision(distribution)}


def text(section: Section, head: dict[str, str], *, markdown: bool) -> str:
    """A section for people."""
    lines = "".join(f"- {key}: {value}\n" for key, value in head.items())
    title = f"{lines}\n{section.title}:" if markdown else f"== {section.name}: {section.title}"
    parts = [title, *(tables.draw(rows, markdown=markdown) for rows in section.tables)]
    parts += section.notes
    if section.goals:
        rows = [_GOALS, *(goal.row() for goal in section.goals)]
        parts.append(tables.draw(rows, markdown=markdown))
    return "\n\n".join(parts) + "\n"


def document(sections: list[Section], head: dict[str, str]) -> dict[str, Any]:
    """All sections for programs."""
    return {
        "header": head,
        "sections": [
            {
                "name": section.name,
                "title": section.title,
                "goals": [
                    {**dataclasses.asdict(goal), "passed": goal.passed} for goal in section.goals
                ],
                "notes": section.notes,
                "data": section.data,
            }
            for section in sections
        ],
    }


def _revision(distribution: Path) -> str:
    """The last commit that touched the operator, or what its sources hash to."""
    if distribution == OPERATOR and not _git("status", "--porcelain", "--", "operator/src"):
        return _git("log", "-1", "--format=%h", "--abbrev=12", "--", "operator/src")
    digest = hashlib.sha256(b"".join(sources(distribution / "src", "*.py"))).hexdigest()
    return f"not committed, sources {digest[:12]}"


def _git(*words: str) -> str:
    command = ["git", "-C", str(OPERATOR.parent), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
