"""`make demo` as a newcomer runs it: the whole campaign, and what it says at the end."""
import os
import re
import subprocess

from support import BUILD, REPOSITORY


def test_the_demo_sends_three_steps_and_agrees_with_itself():
    done = subprocess.run(
        [REPOSITORY / "scripts/demo"],
        env={**os.environ, "BUILD": str(BUILD)},
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sent = {
        step: int(re.search(rf"^  {step} .* (\d+) sent", done.stdout, re.M)[1])
        for step in ("intro", "nudge", "last")
    }
    assert sum(sent.values()) == len(list((BUILD / "demo/Maildir/new").iterdir()))
    assert min(sent.values()) >= 90, done.stdout
    assert "they agree" in done.stdout and "in the way" not in done.stdout
    # What it says to type next leads to no mail server of this machine.
    port = (BUILD / "demo/port").read_text().strip()
    assert f"COLDMAIL_DEMO_PORT={port}\n" in done.stdout
