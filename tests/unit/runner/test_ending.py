"""How a run ends: exit code, termination message, traceback."""

import textwrap
from typing import Any

import pytest

from .conftest import Volume


@pytest.mark.parametrize("value", [1, "a", [1, {"b": None}], True, 0, "", {}, "ü" * 500])
def test_the_result_is_what_the_function_returns(volume: Volume, value: Any):
    """A small JSON value that the function returns is the result, with its times."""
    outcome = volume.call(f"def main():\n    return {value!r}\n")

    assert outcome.code == 0
    assert outcome.message["result"] == value
    assert outcome.message["version"] == 1
    assert set(outcome.message["seconds"]) == {"import", "run"}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("'x' * 1023", "larger than 1024 bytes"),
        ("['x' * 100] * 100_000_000", "larger than 1024 bytes"),
        ("'ü' * 512", "larger than 1024 bytes"),
        ("{1, 2}", "not JSON: Object of type set is not JSON serializable"),
        ("float('nan')", "not JSON: Out of range float values are not JSON compliant"),
    ],
)
def test_a_result_that_cannot_be_kept_is_left_out(volume: Volume, expression: str, why: str):
    """A result that is large or not JSON is left out with the reason, and the run succeeds."""
    outcome = volume.call(f"def main():\n    return {expression}\n")

    assert outcome.code == 0
    assert "result" not in outcome.message
    assert outcome.message["resultOmitted"].startswith(why)


def test_a_result_beyond_the_message_budget_is_left_out(volume: Volume):
    """The message stays within the plan's budget."""
    volume.context["messageBudget"] = 200

    outcome = volume.call("def main():\n    return 'x' * 300\n")

    assert outcome.message["resultOmitted"] == "no room in 200 bytes"


def test_nothing_is_printed_on_success(volume: Volume):
    """The log of a run that succeeds is the user's alone."""
    outcome = volume.call("def main():\n    print('mine', end='')\n")

    assert (outcome.stdout, outcome.stderr) == ("mine", "")


def test_the_code_sees_its_revision(volume: Volume):
    """FLOW_REVISION names the revision that was fetched."""
    outcome = volume.call("import os\ndef main():\n    return os.environ['FLOW_REVISION']\n")

    assert outcome.message["result"] == volume.context["revision"]


@pytest.mark.parametrize(
    ("code", "expected", "stderr"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit(True)", 1, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('no data for today')", 1, "no data for today\n"),
        ("sys.exit(220)", 1, "flow-runner: exit code 220 is reserved; exiting with 1\n"),
        ("sys.exit(221)", 1, "flow-runner: exit code 221 is reserved; exiting with 1\n"),
        ("os._exit(3)", 3, ""),
    ],
)
def test_the_code_decides_the_exit_code(volume: Volume, code: str, expected: int, stderr: str):
    """`sys.exit` ends the run with its code, unless the operator would read that as ours."""
    outcome = volume.call(f"import os, sys\ndef main():\n    {code}\n")

    assert (outcome.code, outcome.stderr) == (expected, stderr)


def test_an_exception_ends_with_a_traceback_of_the_users_code(volume: Volume):
    """A traceback starts at the user's function and shows causes, without a frame of the runner."""
    outcome = volume.call(
        """
        def parse(text):
            return int(text)

        def main():
            try:
                parse("x")
            except ValueError as error:
                raise RuntimeError("bad input") from error
        """
    )

    file = volume.root / "src/flow.py"
    lines = [line for line in outcome.stderr.splitlines() if "^" not in line]
    assert outcome.code == 1
    assert lines == [
        "Traceback (most recent call last):",
        f'  File "{file}", line 7, in main',
        '    parse("x")',
        f'  File "{file}", line 3, in parse',
        "    return int(text)",
        "ValueError: invalid literal for int() with base 10: 'x'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{file}", line 9, in main',
        '    raise RuntimeError("bad input") from error',
        "RuntimeError: bad input",
    ]
    assert set(outcome.message) == {"version", "seconds"}


@pytest.mark.parametrize(
    "code",
    [
        "raise ValueError('boom')\ndef main(): ...\n",
        "async def main():\n    raise ValueError('boom')\n",
        "import asyncio\n"
        "async def inner():\n    raise ValueError('boom')\n"
        "async def main():\n    await asyncio.gather(inner())\n",
        "import runpy\ndef main():\n    runpy.run_path('other.py')\n",
    ],
)
def test_the_first_frame_is_the_users(volume: Volume, code: str):
    """Importing, awaiting or calling, the first frame shown is the user's."""
    volume.write("other.py", "raise ValueError('boom')")

    outcome = volume.call(code)

    assert outcome.code == 1
    assert f'File "{volume.root}/src/flow.py"' in outcome.stderr.splitlines()[1]
    assert "run/runner.py" not in outcome.stderr
    assert outcome.stderr.endswith("ValueError: boom\n")


def test_a_syntax_error_shows_the_line_alone(volume: Volume):
    """A file that is not Python shows where, without any frame of the import machinery."""
    outcome = volume.call("def main(:\n    pass\n")

    assert outcome.code == 1
    assert outcome.stderr.splitlines()[0] == f'  File "{volume.root}/src/flow.py", line 1'
    assert "SyntaxError: invalid syntax" in outcome.stderr


def test_the_users_excepthook_is_called(volume: Volume):
    """A hook that the user's code installs, as error trackers do, gets the exception."""
    outcome = volume.call(
        """
        import sys
        def main():
            sys.excepthook = lambda kind, error, trace: print("hook:", error)
            raise ValueError("boom")
        """
    )

    assert (outcome.code, outcome.stdout, outcome.stderr) == (1, "hook: boom\n", "")


def test_an_async_function_is_awaited(volume: Volume):
    """A coroutine function runs in an event loop and its result counts."""
    outcome = volume.call(
        "import asyncio\nasync def main():\n    await asyncio.sleep(0)\n    return 'done'\n"
    )

    assert outcome.message["result"] == "done"


def test_threads_end_before_the_run_does(volume: Volume):
    """The run waits for threads that are not daemons, as Python does."""
    outcome = volume.call(
        """
        import threading, time
        def work():
            time.sleep(0.2)
            print("worked")
        def main():
            threading.Thread(target=work).start()
            return 1
        """
    )

    assert (outcome.code, outcome.stdout, outcome.message["result"]) == (0, "worked\n", 1)


def test_an_unwritable_termination_log_fails_nothing(volume: Volume):
    """A run whose message cannot be written ends as its code does."""
    outcome = volume.call("def main(): ...", FLOW_TERMINATION_LOG="/dev/null/message")

    assert outcome.code == 0
    assert outcome.stderr == "flow-runner: cannot write /dev/null/message: Not a directory\n"


def test_logs_are_not_held_back(volume: Volume):
    """What the code prints is in the log even if the process dies at once."""
    outcome = volume.call(
        textwrap.dedent(
            """
            import os, sys
            def main():
                sys.stdout.write("last words")
                os.kill(os.getpid(), 9)
            """
        )
    )

    assert (outcome.code, outcome.stdout) == (-9, "last words")
