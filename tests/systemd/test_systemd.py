"""The installed service under a really booted systemd. tests/systemd/boot makes the machine; what
is asserted in it stands in inside.py."""
import os
import pathlib
import subprocess
import sys

import pytest

from support import BUILD, REPOSITORY, missing

HERE = pathlib.Path(__file__).parent


def test_service():
    if os.geteuid() != 0:
        missing("root, to boot a systemd of our own: sudo make check")
    done = subprocess.run(
        [HERE / "boot", "-t", "150", "env", f"COLDMAIL_BUILD={BUILD}", "PYTHONDONTWRITEBYTECODE=1",
         sys.executable, "-m", "pytest", "-c", "tests/pytest.ini", HERE / "inside.py"],
        cwd=REPOSITORY, timeout=300, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 126:
        missing(f"a machine that can boot another one ({done.stdout.strip()})")
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
