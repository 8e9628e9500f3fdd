"""An image is rebuilt when its content changes, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.recipes import EXTRA, RECIPES, Recipe


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.py").write_text("print(1)\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return Recipe("x", dockerfile=tmp_path / "Dockerfile", folder=tmp_path, sources=("src",))


def test_a_digest_is_stable(recipe: Recipe) -> None:
    assert recipe.digest("base") == recipe.digest("base")


def test_another_base_changes_the_digest(recipe: Recipe) -> None:
    assert recipe.digest("base") != recipe.digest("other")


@pytest.mark.parametrize(("path", "text"), [("src/main.py", "print(2)\n"), ("src/new.py", "")])
def test_a_change_of_the_sources_changes_the_digest(recipe: Recipe, path: str, text: str) -> None:
    before = recipe.digest("base")
    (recipe.folder / path).write_text(text)
    assert recipe.digest("base") != before


def test_an_executable_bit_changes_the_digest(recipe: Recipe) -> None:
    before = recipe.digest("base")
    (recipe.folder / "src" / "main.py").chmod(0o755)
    assert recipe.digest("base") != before


def test_what_is_not_a_source_changes_nothing(recipe: Recipe) -> None:
    before = recipe.digest("base")
    (recipe.folder / "src" / "__pycache__").mkdir()
    (recipe.folder / "src" / "__pycache__" / "main.pyc").write_bytes(b"x")
    (recipe.folder / "notes.md").write_text("notes")
    assert recipe.digest("base") == before


def test_staged_files_have_equal_times_and_modes(recipe: Recipe, tmp_path: Path) -> None:
    (recipe.folder / "src" / "main.py").chmod(0o600)
    target = tmp_path / "context"
    target.mkdir()
    recipe.stage(target)
    staged = [path for path in target.rglob("*") if path.is_file()]
    assert {path.relative_to(target).as_posix() for path in staged} == {"Dockerfile", "src/main.py"}
    assert {(path.stat().st_mtime, path.stat().st_mode & 0o777) for path in staged} == {(0, 0o644)}


@pytest.mark.parametrize("recipe", RECIPES + EXTRA, ids=lambda recipe: recipe.name)
def test_every_source_of_our_images_is_in_the_repository(recipe: Recipe) -> None:
    assert recipe.dockerfile is None or recipe.dockerfile.is_file()
    assert [source for source in recipe.sources if not (recipe.folder / source).exists()] == []
