"""SIGTERM reaches the user's code."""

import signal

import pytest

from .conftest import Outcome, Volume


def stop(volume: Volume, code: str, *, times: int = 1) -> Outcome:
    """Runs `main` and sends SIGTERM each time that it prints a line."""
    volume.write("flow.py", code)
    process = volume.start("flow.py:main")
    assert process.stdout
    for _ in range(times):
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
    return volume.finish(process)


@pytest.mark.parametrize(
    "code",
    [
        """
        import time
        def main():
            try:
                print("ready")
                time.sleep(30)
            finally:
                print("cleaned up")
        """,
        """
        import asyncio
        async def main():
            try:
                print("ready")
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0)
                print("cleaned up")
        """,
        """
        import asyncio
        async def work():
            try:
                print("ready")
                await asyncio.sleep(30)
            finally:
                print("cleaned up")
        def main():
            asyncio.run(work())
        """,
        """
        import time
        try:
            print("ready")
            time.sleep(30)
        finally:
            print("cleaned up")
        """,
    ],
    ids=["sync", "async", "own-loop", "import"],
)
def test_code_cleans_up_and_the_run_ends_with_143(volume: Volume, code: str):
    """On SIGTERM `finally` blocks run and the exit code is 143, without a traceback."""
    outcome = stop(volume, code)

    assert (outcome.code, outcome.stdout) == (143, "cleaned up\n")
    assert outcome.stderr == "flow-runner: SIGTERM received, stopping\n"
    assert outcome.message["version"] == 1


def test_a_second_signal_does_not_interrupt_the_clean_up(volume: Volume):
    """While the code cleans up another SIGTERM changes nothing."""
    outcome = stop(
        volume,
        """
        import time
        def main():
            try:
                print("ready")
                time.sleep(30)
            finally:
                print("ready")
                time.sleep(0.3)
                print("cleaned up")
        """,
        times=2,
    )

    assert (outcome.code, outcome.stdout) == (143, "cleaned up\n")


def test_a_stopped_run_is_never_a_success(volume: Volume):
    """Code that swallows the exception has still been stopped."""
    outcome = stop(
        volume,
        """
        import time
        def main():
            try:
                print("ready")
                time.sleep(30)
            except BaseException:
                pass
        """,
    )

    assert outcome.code == 143


def test_a_failing_clean_up_is_shown(volume: Volume):
    """An error during the clean-up has its traceback, and the exit code stays 143."""
    outcome = stop(
        volume,
        """
        import time
        def main():
            try:
                print("ready")
                time.sleep(30)
            finally:
                raise ValueError("clean-up failed")
        """,
    )

    assert outcome.code == 143
    assert "ValueError: clean-up failed" in outcome.stderr


def test_the_users_own_handler_wins(volume: Volume):
    """A handler that the code installs gets the signal in our place, and decides the end."""
    outcome = stop(
        volume,
        """
        import signal, time
        stopped = []
        def main():
            signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
            print("ready")
            while not stopped:
                time.sleep(0.01)
            return "flushed"
        """,
    )

    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.message["result"] == "flushed"


def test_threads_that_linger_do_not_hold_up_a_stop(volume: Volume):
    """When only threads are left SIGTERM ends the process."""
    outcome = stop(
        volume,
        """
        import threading, time
        def work():
            time.sleep(0.3)
            print("ready")
            time.sleep(30)
        def main():
            threading.Thread(target=work).start()
        """,
    )

    assert outcome.code == 143


def test_child_processes_keep_the_usual_meaning(volume: Volume):
    """A forked worker dies of SIGTERM as it does without the runner."""
    outcome = volume.call(
        """
        import multiprocessing, time
        def main():
            worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=[30])
            worker.start()
            worker.terminate()
            worker.join()
            return worker.exitcode
        """
    )

    assert (outcome.message["result"], outcome.stderr) == (-15, "")
