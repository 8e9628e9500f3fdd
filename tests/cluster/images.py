"""Keeps the cluster's images equal to the working tree, rebuilding only what changed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from tests.cluster.console import step
from tests.cluster.paths import cache
from tests.cluster.recipes import RECIPES, Recipe
from tests.cluster.system import lock


class Builder(Protocol):
    """Makes images of recipes."""

    def prepare(self) -> None:
        """Get what all recipes need."""

    def build(self, recipe: Recipe) -> None:
        """Make the image."""

    def has(self, recipe: Recipe) -> bool:
        """Whether it was made before."""

    def export(self, recipe: Recipe, archive: Path) -> None:
        """Write it to a docker-archive."""


class Store(Protocol):
    """Where Pods' images come from."""

    def images(self) -> Mapping[str, str]:
        """Full image name → something that changes with the image."""

    def load(self, archive: Path) -> None:
        """Take the images of a docker-archive."""


def build(builder: Builder, base: str, recipes: Iterable[Recipe] = RECIPES) -> None:
    """Build the images whose sources changed; needs no cluster."""
    with lock("images"):
        state = _State.read()
        for recipe in recipes:
            digest = recipe.digest(base)
            if state.built.get(recipe.name) == digest and (
                state.loaded.get(recipe.name, {}).get("content") == digest or builder.has(recipe)
            ):
                continue
            builder.prepare()
            with step(f"build {recipe.tag}"):
                builder.build(recipe)
            state.built[recipe.name] = digest
            state.write()


def load(
    builder: Builder, store: Store, base: str, recipes: Iterable[Recipe] = RECIPES
) -> dict[str, str]:
    """Build what changed and bring it into the cluster.

    Returns:
        Image name without tag → the tag that Pods use.
    """
    recipes = tuple(recipes)
    build(builder, base, recipes)
    with lock("images"):
        state = _State.read()
        present = store.images()
        for recipe in recipes:
            wanted = {
                "content": state.built[recipe.name],
                "image": present.get(recipe.full_name, ""),
            }
            if wanted["image"] and state.loaded.get(recipe.name) == wanted:
                continue
            with step(f"load {recipe.tag} into the cluster"):
                _transfer(builder, store, recipe)
            present = store.images()
            state.loaded[recipe.name] = {**wanted, "image": present[recipe.full_name]}
            state.write()
    return {recipe.name: recipe.tag for recipe in recipes}


def _transfer(builder: Builder, store: Store, recipe: Recipe) -> None:
    folder = cache() / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        archive = Path(name) / "image.tar"
        builder.export(recipe, archive)
        store.load(archive)


class _State:
    """What was built and loaded last, by content."""

    _FILE = "images.json"

    def __init__(self, built: dict[str, str], loaded: dict[str, dict[str, str]]) -> None:
        self.built = built
        self.loaded = loaded

    @classmethod
    def read(cls) -> _State:
        try:
            content = json.loads((cache() / cls._FILE).read_text())
            return cls(content["built"], content["loaded"])
        except (OSError, ValueError, KeyError):
            return cls({}, {})

    def write(self) -> None:
        content = {"built": self.built, "loaded": self.loaded}
        (cache() / self._FILE).write_text(json.dumps(content, indent=2))
