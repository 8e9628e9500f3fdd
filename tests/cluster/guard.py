"""Refuses clusters that tests were not told to use: they create and delete at will."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cluster.console import ClusterError
from tests.cluster.paths import CONTEXT, cache

KIND_PREFIX = "kind-flow-"


class RefusedContextError(ClusterError):
    """Tests may not touch this cluster."""


def check(kubeconfig: Path, context: str) -> None:
    """Return if tests may use this context.

    Allowed are the contexts that the harness made, in its own cache: `flow-test` and
    `kind-flow-*`; and the one that FLOW_TEST_KUBECONFIG and FLOW_TEST_CONTEXT name.

    Raises:
        RefusedContextError: It is none of these.
    """
    file = kubeconfig.expanduser().resolve()
    ours = context == CONTEXT or context.startswith(KIND_PREFIX)
    if ours and file.is_relative_to(cache()):
        return
    named = os.environ.get("FLOW_TEST_KUBECONFIG")
    same_file = bool(named) and Path(str(named)).expanduser().resolve() == file
    if same_file and context and context == os.environ.get("FLOW_TEST_CONTEXT"):
        return
    raise RefusedContextError(
        f"tests may not use context {context!r} of {file}: they create and delete at will. "
        f"Use the harness's own cluster (`python -m tests.cluster up`), or name this one: "
        f"FLOW_TEST_KUBECONFIG={file} FLOW_TEST_CONTEXT={context}"
    )
