"""Which function is called, and what is said when there is none."""

import pytest

from .conftest import Volume

HELLO = "def main():\n    print('hello')\n"


@pytest.mark.parametrize(
    ("path", "entrypoint"),
    [
        ("flow.py", "flow.py:main"),
        ("etl/nightly.py", "etl/nightly.py:main"),
        ("etl/nightly.py", "etl.nightly:main"),
        ("daily-jobs/to day.py", "daily-jobs/to day.py:main"),
        ("json.py", "json.py:main"),
        ("etl/__init__.py", "etl/__init__.py:main"),
        ("etl/__init__.py", "etl:main"),
    ],
)
def test_finds_a_function_by_file_or_by_module(volume: Volume, path: str, entrypoint: str):
    """A function is called by its file, whatever that is named, or by its module."""
    volume.write(path, HELLO)

    outcome = volume.run(entrypoint)

    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "hello\n", "")


def test_working_directory_is_where_imports_and_paths_start(volume: Volume):
    """The working directory is the cwd and the first place that imports are looked up in."""
    volume.context["workingDirectory"] = "pipelines"
    volume.write("pipelines/helper.py", "NAME = 'helper'")
    volume.write("pipelines/data.txt", "42")
    volume.write(
        "pipelines/etl/nightly.py",
        """
        import sys
        import helper
        def main():
            return [helper.NAME, open("data.txt").read(), sys.path[0]]
        """,
    )

    outcome = volume.run("etl/nightly.py:main")

    assert outcome.message["result"] == ["helper", "42", str(volume.root / "src/pipelines")]


def test_a_file_of_a_package_can_import_relatively(volume: Volume):
    """A file that lies in a package is that package's module, so relative imports work."""
    volume.write("etl/__init__.py", "")
    volume.write("etl/names.py", "NAME = 'acme'")
    volume.write("etl/nightly.py", "from .names import NAME\ndef main():\n    return NAME\n")

    assert volume.run("etl/nightly.py:main").message["result"] == "acme"


def test_the_runner_does_not_shadow_the_users_modules(volume: Volume):
    """A user's module may have the name of the runner's file."""
    volume.write("runner.py", "NAME = 'mine'")

    outcome = volume.call("import runner\ndef main():\n    return runner.NAME\n")

    assert outcome.message["result"] == "mine"


def test_calls_whatever_is_callable(volume: Volume):
    """Objects with `__call__`, static methods and decorated functions are entrypoints, too."""
    volume.write(
        "flow.py",
        """
        import functools

        class Step:
            def __call__(self, name: str):
                return f"step {name}"
            @staticmethod
            def method(name: str):
                return f"method {name}"

        def logged(function):
            @functools.wraps(function)
            def wrapper(**kwargs):
                return function(**kwargs) + ", logged"
            return wrapper

        @logged
        def decorated(name: str):
            return f"decorated {name}"

        step = Step()
        """,
    )

    results = [
        volume.run(f"flow.py:{name}", {"name": "a"}).message["result"]
        for name in ("step", "Step.method", "decorated")
    ]

    assert results == ["step a", "method a", "decorated a, logged"]


@pytest.mark.parametrize(
    ("entrypoint", "problem"),
    [
        ("etl/nigthly.py:main", "there is no file etl/nigthly.py; did you mean etl/nightly.py?"),
        ("nightly.py:main", "there is no file nightly.py; did you mean etl/nightly.py?"),
        ("other.py:main", "there is no file other.py; there are etl/nightly.py"),
        ("etl.nigthly:main", "there is no module etl.nigthly; did you mean etl.nightly?"),
        ("nightly:main", "there is no module nightly; did you mean etl.nightly?"),
        ("etl/nightly.py:mian", "etl/nightly.py has no function mian; did you mean main?"),
        ("etl/nightly.py:go", "etl/nightly.py has no function go; there are main, generate"),
        ("etl/nightly.py:LIMIT", "etl/nightly.py:LIMIT is not a function but int"),
        (
            "etl/nightly.py:generate",
            "etl/nightly.py:generate is a generator: a call would run none of it",
        ),
    ],
)
def test_a_missing_entrypoint_names_what_was_meant(volume: Volume, entrypoint: str, problem: str):
    """An entrypoint that cannot be called ends with 220, what is missing and what is near."""
    volume.write(
        "etl/nightly.py",
        """
        from pathlib import Path
        LIMIT = 3
        def main(): ...
        def generate():
            yield 1
        """,
    )

    outcome = volume.run(entrypoint)

    assert (outcome.code, outcome.stderr) == (220, f"flow-runner: {problem}\n")


def test_a_module_that_the_users_code_misses_is_the_users_error(volume: Volume):
    """An import that fails inside the user's module is a failure with a traceback, not a 220."""
    for entrypoint in ("etl/nightly.py:main", "etl.nightly:main"):
        volume.write("etl/nightly.py", "import pandaz\ndef main(): ...\n")

        outcome = volume.run(entrypoint)

        assert outcome.code == 1
        assert outcome.stderr.startswith("Traceback (most recent call last):\n")
        assert "No module named 'pandaz'" in outcome.stderr


def test_pickle_and_new_processes_find_the_users_module(volume: Volume):
    """Dataclasses of the entrypoint's file pass to spawned processes, however the file is named."""
    code = """
        import multiprocessing
        from dataclasses import dataclass

        @dataclass
        class Point:
            x: int

        def double(point):
            return Point(point.x * 2)

        def main():
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                return [point.x for point in pool.map(double, [Point(1), Point(2)])]
        """
    for path in ("etl/points.py", "etl/my-points.py"):
        volume.write(path, code)

        outcome = volume.run(f"{path}:main")

        assert (outcome.message.get("result"), outcome.stderr) == ([2, 4], "")
