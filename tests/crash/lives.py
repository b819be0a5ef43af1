"""What the tests of this folder share: a campaign on a fresh copy of a store, over one of WIRES, and
how to let a daemon die at a fail-point and another one finish what it left."""
import collections
import os
import re
import shutil
import signal
import subprocess

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, login, mailbox, over_tls
from fake_smtp import FakeSmtp
from support import REPOSITORY

STEPS = ("intro", "nudge", "last")
USER, PASSWORD = "ali", "correct horse: battery"
# Every arrow of the ledger, as the sources name it.
NAMES = sorted(
    {
        name
        for file in (REPOSITORY / "src").rglob("*.c")
        for name in re.findall(r'fail_point\("([a-z_.]+)"\)', file.read_text())
    }
)
RECOVERY = [name for name in NAMES if name.startswith("recover.")]
TAKEOVER = [name for name in NAMES if name.startswith("takeover.")]
RESTORE = [name for name in NAMES if name.startswith("restore.")]
SELDOM = {*RECOVERY, *TAKEOVER, *RESTORE}  # no plain campaign passes these
REFUSE = "on rcpt to refused@* do reply 550 5.1.1 No such user here"

# How mails travel: in the clear, or with a login and TLS, from the first byte on or by STARTTLS.
Wire = collections.namedtuple("Wire", "name scheme options")
CLEAR, STARTTLS, TLS = WIRES = (
    Wire("clear", None, []),
    Wire("starttls", "smtp", ["--user", f"{USER}:{PASSWORD}"]),
    Wire("tls", "smtps", ["--user", f"{USER}:{PASSWORD}", "--tls"]),
)


def sections(port, connections=2, **keys):
    boxes = [mailbox(address, port, connections=connections, **keys) for address in (ALI, BEA)]
    return [*boxes, campaign(mailboxes=(ALI, BEA), steps=STEPS)]


def at(name, n=1):
    return {**os.environ, "COLDMAIL_FAILPOINT": f"{name}:{n}"}


def serve(folder, rules=(), wire=CLEAR, certs=None):
    """(a server on WIRE, the keys of a mailbox that sends to it)"""
    folder.mkdir(exist_ok=True)
    options = [*wire.options, *(certs.good.options if wire.scheme else [])]
    server = FakeSmtp(folder / "smtp", *options, rules=[REFUSE, *rules])
    if not wire.scheme:
        return server, {}
    return server, {
        **over_tls(f"{wire.scheme}://127.0.0.1:{server.port}", certs.ca),
        **login(folder / "password", USER, PASSWORD),
    }


def make_imported(folder):
    """A folder with leads imported and nothing sent: each case starts from a copy."""
    with Coldmail(folder, *sections(1), test=True) as coldmail:
        coldmail.import_leads([*addresses(5), "refused@take.example"])
    return folder


def case(imported, folder, *arguments, **keys):
    """(server, coldmail) on a fresh copy of the store; ARGUMENTS of serve(), KEYS of a mailbox."""
    folder.mkdir()
    shutil.copy(imported / "store.db", folder)
    server, more = serve(folder, *arguments)
    return server, Coldmail(folder, *sections(server.port, **keys, **more), test=True)


def die(coldmail, name, n, *options, seconds=60):
    """A life up to fail-point NAME, the Nth time it is passed, or up to the end of all work. After
    SECONDS it is killed anyhow. Whether it died."""
    coldmail.spawn("--until-idle", *options, environment=at(name, n))
    try:
        status = coldmail.process.wait(seconds)
    except subprocess.TimeoutExpired:
        coldmail.kill()
        return True
    assert status in (0, 75, -signal.SIGKILL), coldmail.tail()
    return status == -signal.SIGKILL


def finish(server, coldmail):
    status, _ = coldmail.run_until_idle()
    uncertain = coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'")
    assert status == (75 if uncertain else 0)
    oracle.check(coldmail, server.mails())
    return uncertain


def passed(imported, folder):
    """The names that a whole campaign passes."""
    server, coldmail = case(imported, folder)
    with server:
        coldmail.run_until_idle(environment={**os.environ, "COLDMAIL_FAILPOINT": "list"})
        return set(re.findall(r"^failpoint (\S+)", coldmail.log.read_text(), re.M))
