"""Chooses the cluster of this machine and hands it out ready for tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import base, guard, images, kind
from tests.cluster.binaries import tool
from tests.cluster.buildah import Buildah
from tests.cluster.console import ClusterError, run
from tests.cluster.given import GivenCluster
from tests.cluster.kind import Docker, KindCluster
from tests.cluster.own import OwnCluster
from tests.cluster.recipes import EXTRA, RECIPES
from tests.cluster.system import CLUSTER_PROGRAMS, IMAGE_PROGRAMS, is_root, lock, require

Provider = GivenCluster | KindCluster | OwnCluster


@dataclass(frozen=True)
class Cluster:
    """A running cluster, as tests see it."""

    provider: Provider
    kubeconfig: Path
    context: str
    kubectl: Path
    helm: Path
    images: Mapping[str, str] = field(default_factory=dict)
    """Image name → what a Pod's `image` says; pull policy IfNotPresent."""

    def image(self, name: str) -> str:
        """What a Pod's `image` says, for an image that is built when a test asks for it.

        Raises:
            ClusterError: There is no such image, or it cannot be built.
        """
        if name in self.images:
            return self.images[name]
        if isinstance(self.provider, GivenCluster):
            return self.provider.image(name)
        recipes = [recipe for recipe in EXTRA if recipe.name == name]
        if not recipes:
            raise ClusterError(f"no image {name!r}")
        builder, of = _builder(self.provider)
        return images.load(builder, self.provider, of, recipes)[name]

    @property
    def host_ip(self) -> str | None:
        """This machine's address as Pods reach it, where there is one."""
        own = self.provider
        return own.settings.host_ip if isinstance(own, OwnCluster) else None

    def run(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints.

        Raises:
            ClusterError: It failed.
        """
        target = ["--kubeconfig", str(self.kubeconfig), "--context", self.context]
        return run([self.kubectl, *target, *arguments], stdin=stdin)

    def run_helm(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run helm and return what it prints.

        Raises:
            ClusterError: It failed.
        """
        target = ["--kubeconfig", str(self.kubeconfig), "--kube-context", self.context]
        return run([self.helm, *target, *arguments], stdin=stdin)

    @property
    def can_stop(self) -> bool:
        """Whether single components can be stopped here."""
        return isinstance(self.provider, OwnCluster)

    def stop(self, component: str, grace: float = 10) -> None:
        """Stop a component (`kube-apiserver`, `etcd`, …); `grace=0` kills it."""
        self._own().stop(component, grace)

    def start(self, component: str) -> None:
        """Start a stopped component, and wait until the API server answers again."""
        self._own().start(component)

    def _own(self) -> OwnCluster:
        if isinstance(self.provider, OwnCluster):
            return self.provider
        raise ClusterError("only the cluster of our own components can stop a single one")


def choose() -> Provider:
    """The cluster that was named, else kind, else one of our own.

    Raises:
        ClusterError: None of these is possible here.
    """
    if os.environ.get("FLOW_TEST_KUBECONFIG"):
        return GivenCluster()
    wish = os.environ.get("FLOW_TEST_PROVIDER", "")
    if wish not in {"", "kind", "own"}:
        raise ClusterError(f"FLOW_TEST_PROVIDER={wish}: kind and own are known")
    if wish == "kind" or (not wish and kind.docker_answers()):
        return KindCluster()
    if not is_root():
        raise ClusterError(
            "no cluster to test on: start Docker (then kind is used), run as root (then "
            "the components run here), or set FLOW_TEST_KUBECONFIG and FLOW_TEST_CONTEXT"
        )
    return OwnCluster()


def ensure(*, with_images: bool = True) -> Cluster:
    """The cluster, running, with the images of the working tree.

    Args:
        with_images: Build and load what changed; else the images are as they are.

    Raises:
        ClusterError: With what to do about it.
        RefusedContextError: The context is not one that tests may use.
    """
    provider = choose()
    names = [recipe.name for recipe in RECIPES]
    if isinstance(provider, GivenCluster):
        provider.up()
        loaded = {name: provider.image(name) for name in names}
    else:
        loaded = _raise(provider, with_images)
    guard.check(provider.kubeconfig, provider.context)
    return Cluster(
        provider=provider,
        kubeconfig=provider.kubeconfig,
        context=provider.context,
        kubectl=_program("kubectl", provider),
        helm=_program("helm", provider),
        images=loaded,
    )


def load_images() -> dict[str, str]:
    """Build and load the images that changed; the cluster must be up."""
    provider = choose()
    if isinstance(provider, GivenCluster):
        raise ClusterError("images of a given cluster come from its own registry")
    builder, of = _builder(provider)
    return images.load(builder, provider, of)


def take_down(*, purge: bool = False) -> None:
    """Stop the cluster and everything that belongs to it.

    Args:
        purge: Delete images and logs too; built programs stay.

    Raises:
        ClusterError: The cluster is not ours to stop.
    """
    provider = choose()
    if isinstance(provider, GivenCluster):
        raise ClusterError("FLOW_TEST_KUBECONFIG names a cluster that the harness did not start")
    if isinstance(provider, OwnCluster):
        with lock("images"):
            Buildah(provider.settings).tidy()
    if purge:
        provider.purge()
    else:
        provider.down()


def _raise(provider: KindCluster | OwnCluster, with_images: bool) -> dict[str, str]:
    if isinstance(provider, OwnCluster):
        # Once, before the two threads: apt takes one client at a time.
        require({**CLUSTER_PROGRAMS, **(IMAGE_PROGRAMS if with_images else {})})
    if not with_images:
        provider.up()
        return {recipe.name: recipe.tag for recipe in RECIPES}
    builder, of = _builder(provider)
    with ThreadPoolExecutor(max_workers=1) as beside:
        built = beside.submit(images.build, builder, of)
        provider.up()
        built.result()
    return images.load(builder, provider, of)


def _builder(provider: KindCluster | OwnCluster) -> tuple[images.Builder, str]:
    if isinstance(provider, OwnCluster):
        return Buildah(provider.settings), base.name()
    return Docker(), kind.base()


def _program(name: str, provider: Provider) -> Path:
    """Our own build beside our own cluster; elsewhere what the developer has, if anything."""
    found = None if isinstance(provider, OwnCluster) else shutil.which(name)
    return Path(found) if found else tool(name)
