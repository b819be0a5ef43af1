"""What every Python test here shares: where the programs are, and how to wait and to skip.

COLDMAIL_BUILD names the build under test (`make check` sets it); without it, build/ is.
"""
import os
import pathlib
import socket
import time

import pytest

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("COLDMAIL_BUILD", REPOSITORY / "build")).resolve()


def missing(what):
    """Ends the test: a loud skip for people, a failure where CI=true says that all is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}", pytrace=False)
    pytest.skip(f"missing: {what}")


def free_port():
    """Of this moment: for servers that cannot say which one they took."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition, seconds=10.0, what="the condition"):
    """Asks CONDITION every 20 ms until it is true; returns what it said, or fails the test."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            pytest.fail(f"{what} did not come true in {seconds} s")
        time.sleep(0.02)
