"""The connections of a mailbox: they follow the configuration, a server that takes fewer of them is
used as it is, and none of them delays a stop or costs a reservation."""
import os
import re
import shlex
import socket
import time

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import missing, wait_until

ESTABLISHED = "01"


def connections(server):
    """How many are open to SERVER just now."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in list(table)[1:]]
    return sum(r[2].endswith(f":{server.port:04X}") and r[3] == ESTABLISHED for r in rows)


def test_mails_go_to_the_new_server_after_a_reload(tmp_path):
    with FakeSmtp(tmp_path / "old", rules=["on dot do delay 5"]) as old, FakeSmtp(
        tmp_path / "new"
    ) as new, Coldmail(tmp_path / "run", mailbox(ALI, old.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(200))
        coldmail.start()
        wait_until(lambda: len(old.mails()) >= 10, what="some mails")
        coldmail.configure(mailbox(ALI, new.port), campaign())
        coldmail.ctl("reload")
        before = len(old.mails())
        coldmail.wait_sent(200)
        assert len(old.mails()) <= before + 1  # the one that was under way
        assert len(old.mails()) + len(new.mails()) == 200
        wait_until(lambda: not connections(old), what="the old server is left alone")


def test_connections_follow_a_lower_number_and_a_mailbox_that_is_removed(tmp_path):
    slow = ["on dot do delay 10"]
    with FakeSmtp(tmp_path / "ali", rules=slow) as ali, FakeSmtp(
        tmp_path / "bea", rules=slow
    ) as bea, Coldmail(
        tmp_path / "run",
        mailbox(ALI, ali.port, connections=4),
        mailbox(BEA, bea.port, connections=2),
        campaign(mailboxes=(ALI, BEA)),
    ) as coldmail:
        coldmail.import_leads(addresses(600))
        coldmail.start()
        wait_until(lambda: connections(ali) == 4 and connections(bea) == 2, what="6 connections")
        coldmail.configure(mailbox(ALI, ali.port, connections=1), campaign())
        coldmail.ctl("reload")
        wait_until(lambda: connections(ali) == 1, what="one connection is left")
        wait_until(lambda: not connections(bea), what="the removed mailbox is left alone")
        assert coldmail.count("SELECT count(*) FROM leads WHERE state = 'queued'") > 0
        assert not coldmail.events("connect_failed")
        released = "SELECT count(*) FROM attempts WHERE state = 'released' AND mailbox = ?"
        assert coldmail.count(released, ALI) == 0
        assert coldmail.count(released, BEA) <= 2 * 2, "more than what waited for a connection"


def test_a_server_that_takes_fewer_connections_is_used_as_it_is(tmp_path):
    rules = [
        "on connect times 2 do accept",
        'on connect do reply 421 "4.7.0 Too many connections" then drop',
        "on dot do delay 10",
    ]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, connections=5), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(60))
        coldmail.start()
        coldmail.wait_sent(60)
        assert 1 <= len(coldmail.events("connect_failed")) <= 3
        assert not coldmail.events("mailbox_state")
        assert coldmail.count("SELECT count(*) FROM attempts WHERE n > 1") == 0


def test_a_connection_that_is_saying_quit_gets_no_mail(tmp_path):
    """It idles for 30 s and says QUIT, which takes a second; the gap ends meanwhile."""
    with FakeSmtp(tmp_path / "smtp", rules=["on quit do delay 1000"]) as server:
        coldmail = Coldmail(tmp_path / "run", mailbox(ALI, server.port, gap="30500ms"), campaign())
        coldmail.import_leads(addresses(2))
        assert coldmail.fast_forward()[0] == 0
        assert server.summary()["connections"] == 2
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'released'") == 0


@pytest.mark.parametrize("verb", ["rset", "quit"])
def test_a_connection_without_a_mail_does_not_delay_a_stop(verb, tmp_path):
    rules = ["on rcpt do reply 550 5.1.1 no", f"on {verb} do silence"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", "stop_timeout = 6s\n", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        begin = time.monotonic()
        assert coldmail.stop() == 0
        assert time.monotonic() - begin < 3
        assert not coldmail.events("stop_unfinished")


def test_a_server_that_is_not_there_does_not_keep_until_idle_for_ever(tmp_path):
    """It is asked for a day."""
    coldmail = Coldmail(tmp_path, mailbox(ALI, 1), campaign())
    coldmail.import_leads(addresses(3))
    status, summary = coldmail.fast_forward()
    assert status == 75 and "mailbox_throttled" in summary
    assert 25 <= len(coldmail.events("mailbox_state")) / 2 <= 40
    assert coldmail.states() == {("queued", ""): 3}


def test_work_after_days_without_any_is_tried_again_when_its_server_is_away(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on connect after 1 times 3 do drop"]) as server:
        coldmail = Coldmail(
            tmp_path / "run",
            mailbox(ALI, server.port),
            campaign(steps=("intro", "nudge"), after="9d"),
        )
        coldmail.import_leads(addresses(1))
        assert coldmail.fast_forward()[0] == 0
        assert len(server.mails()) == 2 and coldmail.events("connect_failed")


def test_a_paused_mailbox_lets_go_of_what_it_has_reserved(tmp_path):
    """What waits behind a mail at its dot does not leave after it."""
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do delay 1000"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(5))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) > 1 FROM attempts WHERE slot = 0", 1)
        coldmail.ctl("pause", "mailbox", ALI)
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'reserved'", 0)
        assert len(server.mails()) == 1
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.wait_sent(5)
        assert coldmail.stop() == 0
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'released'")
        oracle.check(coldmail, server.mails())


def test_a_machine_without_a_full_name_says_the_mailboxs_domain(tmp_path):
    """Servers refuse an EHLO without a dot in it (RFC 5321 4.1.1.1)."""
    own = socket.gethostname()
    assert ehlo_of(tmp_path) == (own if "." in own else "send.example")


@pytest.mark.parametrize("name, said", [
    ("vm", "send.example"), ("mail.other.example", "mail.other.example"),
    ("a_b.example", "send.example"), ("vm.", "send.example"),
])
def test_the_name_in_ehlo(tmp_path, name, said):
    if os.geteuid() != 0:
        missing("root, to give a machine another name")
    assert ehlo_of(tmp_path, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "-") == said


def ehlo_of(tmp_path, *way):
    """What coldmail calls itself, started by WAY."""
    with FakeSmtp(tmp_path / "smtp", "--verbose") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        program = tmp_path / "coldmail"
        program.write_text(f'#!/bin/sh\nexec {shlex.join([*way, str(coldmail.program)])} "$@"\n')
        program.chmod(0o755)
        coldmail.program = program
        coldmail.run_until_idle()
        assert len(server.mails()) == 1
        return re.search(r"EHLO (\S+)", server.err.read_text())[1]
