"""Every compiled test is one test here: the unit programs (tests/unit), the store's conformance
suite (tests/store), and each fuzz target's seeds (tests/fuzz)."""
import os
import subprocess

import pytest

from support import BUILD, REPOSITORY

# Under valgrind everything takes longer, and make says so to Check in this way.
LIMIT_S = 300 * int(os.environ.get("CK_TIMEOUT_MULTIPLIER", "1"))
TESTS = REPOSITORY / "tests"
PROGRAMS = sorted(f"{folder}/{p.stem}" for folder in ("unit", "store")
                  for p in TESTS.glob(f"{folder}/*.c"))
TARGETS = sorted(p.stem for p in TESTS.glob("fuzz/*.c") if p.stem != "replay")


def run(argv, cwd):
    env = dict(os.environ, COLDMAIL_REPOSITORY=str(REPOSITORY))
    # These end no process, and a thousand stores on a disk are a thousand times its fsync.
    if os.access("/dev/shm", os.W_OK):
        env["TMPDIR"] = "/dev/shm"
    done = subprocess.run(argv, cwd=cwd, env=env, timeout=LIMIT_S, text=True, errors="replace",
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    if done.returncode:
        pytest.fail(f"{argv[0]} ended with {done.returncode}\n{done.stdout[-8000:]}", pytrace=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program, tmp_path):
    run([BUILD / "tests" / program], tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target, tmp_path):
    run([BUILD / "replay" / target, TESTS / "fuzz/seeds" / target], tmp_path)
