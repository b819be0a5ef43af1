"""A wall clock that leaps, is set by hand, or was never right: nothing is sent by it, no day is granted
by it, and whoever asks is told. What somebody does to the machine's clock is pretended (coldmail/clock.h)."""
import sqlite3

import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

HOUR, DAY = 3600 * 1000, 86400 * 1000


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Sets the wall clock so many milliseconds ahead, by hand or by NTP."""
    file = tmp_path / "clock"

    def set_to(ahead_ms, synchronised=False):
        file.with_suffix(".new").write_text(f"{ahead_ms} {'' if synchronised else 'un'}synchronised")
        file.with_suffix(".new").replace(file)

    set_to(0)
    monkeypatch.setenv("COLDMAIL_CLOCK", str(file))
    return set_to


@pytest.fixture
def server(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as fake:
        yield fake


def one(tmp_path, server, leads=3, **keys):
    coldmail = Coldmail(tmp_path / "coldmail", mailbox(ALI, server.port, **keys), campaign(), test=True)
    if leads:
        coldmail.import_leads(addresses(leads))
    return coldmail


def binding(coldmail):
    return next((r["reason"] for r in coldmail.ctl("why") if r["binds"]), None)


def leap(coldmail, clock, ahead_ms):
    clock(ahead_ms)
    wait_until(lambda: binding(coldmail) == "clock_untrusted", 20, "the leap to be noticed")


def test_nothing_is_sent_by_a_clock_that_leapt(tmp_path, server, clock):
    """Not over a restart either; until somebody has looked."""
    with one(tmp_path, server, gap="90min") as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)
        leap(coldmail, clock, 2 * HOUR)
        status = coldmail.status()
        assert status["status"] == "unhealthy"
        assert "clock_untrusted: it leapt ahead by 2h" in status["reasons"][0]
        wait_until(lambda: coldmail.events("clock_untrusted"), what="the log")
        assert coldmail.events("clock_untrusted")[0]["remedy"].endswith("coldmailctl resume clock")
        assert len(server.mails()) == 1
        coldmail.stop()
        coldmail.start()
        assert binding(coldmail) == "clock_untrusted"
        assert len(server.mails()) == 1
        coldmail.ctl("resume", "clock")
        coldmail.wait_sent(2)
        assert binding(coldmail) == "mailbox_gap"
        coldmail.stop()
        coldmail.start()
        assert binding(coldmail) == "mailbox_gap"


def test_a_leap_that_ntp_made_is_believed(tmp_path, server, clock):
    with one(tmp_path, server, gap="90min") as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)
        clock(2 * HOUR, synchronised=True)
        coldmail.ctl("leads", "hold", "lead2@take.example")  # the pumps look now, not in 20 s
        coldmail.ctl("leads", "release", "lead2@take.example")
        coldmail.wait_sent(2)
        assert not coldmail.events("clock_untrusted")


@pytest.mark.parametrize("cure", [(2 * HOUR, True), (0, False)], ids=["synchronised", "set back"])
def test_it_goes_on_by_itself_when_the_clock_is_right_again(tmp_path, server, clock, cure):
    with one(tmp_path, server, gap="3s") as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)
        leap(coldmail, clock, 2 * HOUR)
        clock(*cure)
        wait_until(lambda: binding(coldmail) != "clock_untrusted", 30, "the clock to be believed")
        coldmail.wait_sent(3, seconds=40)
        assert coldmail.events("clock_trusted")
        assert not coldmail.rows("SELECT * FROM controls WHERE name = 'pause/clock'")


def test_a_second_leap_is_not_believed_with_the_end_of_the_first(tmp_path, server, clock):
    """The store was slow to note that the first was undone."""
    with one(tmp_path, server, gap="90min") as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)
        leap(coldmail, clock, 2 * HOUR)
        lock = sqlite3.connect(coldmail.store, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        clock(0)
        wait_until(lambda: binding(coldmail) != "clock_untrusted", what="the first to be undone")
        leap(coldmail, clock, 3 * HOUR)
        lock.execute("ROLLBACK")
        lock.close()
        coldmail.wait_for(
            "SELECT count(*) FROM controls WHERE name = 'pause/clock' AND value LIKE '%3h%'", 1
        )
        assert binding(coldmail) == "clock_untrusted"
        assert len(server.mails()) == 1


def test_a_clock_that_nobody_set_is_not_believed_at_the_start(tmp_path, server, clock):
    with one(tmp_path, server, leads=1) as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)
        coldmail.stop()
        coldmail.import_leads(addresses(2))
        clock(6 * DAY)
        coldmail.start()
        coldmail.wait_sent(2)
        coldmail.stop()
        coldmail.import_leads(addresses(3))
        clock(14 * DAY)
        coldmail.start()
        assert binding(coldmail) == "clock_untrusted"
        why = coldmail.ctl("why")[0]["value"]
        assert "not synchronised" in why and "last entry is of " in why
        coldmail.stop()
        clock(14 * DAY, synchronised=True)
        coldmail.start()
        coldmail.wait_sent(3)


def test_an_empty_ledger_knows_no_better(tmp_path, server, clock):
    clock(4000 * DAY)
    with one(tmp_path, server, leads=1) as coldmail:
        coldmail.start()
        coldmail.wait_sent(1)


def test_until_idle_ends_and_says_why(tmp_path, server, clock):
    with one(tmp_path, server, leads=1) as coldmail:
        assert coldmail.run_until_idle()[0] == 0
        coldmail.import_leads(addresses(2))
        clock(8 * DAY)
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "clock_untrusted" in summary
        coldmail.ctl("resume", "clock")  # with no daemon there
        assert coldmail.run_until_idle()[0] == 0
        assert len(server.mails()) == 2


@pytest.mark.parametrize("back", [HOUR, 26 * HOUR, 400 * DAY])
def test_case_43_a_clock_that_steps_back_grants_nothing_twice(tmp_path, server, clock, back):
    """Nor when it comes back from there."""
    with one(tmp_path, server, daily_limit=2) as coldmail:
        coldmail.start()
        coldmail.wait_sent(2)
        for ahead in (-back, 0):
            clock(ahead, synchronised=True)
            coldmail.stop()
            coldmail.start()
            assert binding(coldmail) == "mailbox_daily_limit"
        assert len(server.mails()) == 2


def test_an_operator_who_doubts_the_clock(tmp_path, server, clock):
    clock(0, synchronised=True)
    with one(tmp_path, server, leads=1) as coldmail:
        coldmail.ctl("pause", "clock")
        coldmail.start()
        assert binding(coldmail) == "clock_untrusted"
        coldmail.ctl("resume", "clock")
        coldmail.wait_sent(1)
