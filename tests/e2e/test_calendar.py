"""The calendar through the daemon: whose clock counts, what is closed, when it opens, and that nothing
waits for it in vain. What the ledger says is held against zoneinfo."""
import collections
import datetime
import os
import pathlib
import sqlite3
import time
import zoneinfo

import pytest

from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

UTC = datetime.timezone.utc
HOUR = 3600 * 1000
WEEKDAYS = "{mon, tue, wed, thu, fri}"
OFFICE = {"window": "09:00-17:00", "days": WEEKDAYS}


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Sets the time of the programs (coldmail/clock.h). What was imported before that time is due."""
    file = tmp_path / "clock"
    monkeypatch.setenv("COLDMAIL_CLOCK", str(file))

    def set_to(stamp):
        then = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
        file.with_suffix(".new").write_text(f"{int((then - time.time()) * 1000)} synchronised")
        file.with_suffix(".new").replace(file)

    return set_to


def slots(coldmail):
    """[(address, when its mail left, in UTC)], in order"""
    return [
        (row["to_email"], datetime.datetime.fromtimestamp(row["at"] / 1000, UTC))
        for row in coldmail.rows(
            "SELECT t.to_email, s.at FROM attempts s JOIN attempts t ON t._id = s.key || '#' || s.n"
            " WHERE s.slot = 1 AND s.state = 'transmitting' ORDER BY s.at"
        )
    ]


def local(when, zone):
    return when.astimezone(zoneinfo.ZoneInfo(zone))


def is_in(when, windows):
    """WINDOWS: [("09:00", "11:30"), …], of a clock's time; a second of grace for the way to the slot."""
    text = (when - datetime.timedelta(seconds=1)).strftime("%H:%M")
    return any(a <= when.strftime("%H:%M") and text < b for a, b in windows)


PEOPLE = {  # address: (its fields, the zone whose clock counts)
    "tokyo@take.example": ({"timezone": "Asia/Tokyo", "country": "US"}, "Asia/Tokyo"),
    "kathmandu@take.example": ({"country": "Nepal"}, "Asia/Kathmandu"),
    "berlin@take.example": ({"country": "de"}, "Europe/Berlin"),
    "boston@take.example": ({"country": "USA", "region": "Massachusetts"}, "America/New_York"),
    "vegas@take.example": ({"country": "us", "region": "nv"}, "America/Chicago"),
    "nowhere@take.example": ({}, "America/Chicago"),
    "junk@take.example": ({"timezone": "Mars/Olympus"}, "America/Chicago"),
    "tokyo.jp@take.example": ({"timezone": "CST"}, "America/Chicago"),  # of an address nothing is guessed
}


def test_case_42_43_everybody_is_written_to_in_her_own_hours(tmp_path, clock):
    """Over the weeks in which the clocks of America and of Europe change, by three steps each."""
    clock("2026-03-04T20:00:00Z")
    windows = [("09:00", "11:30"), ("13:30", "17:00")]
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, gap="1min-3min"),
            campaign(
                steps=("intro", "nudge", "last"),
                after="9d",
                timezone='"America/Chicago"',
                days=WEEKDAYS,
                window="{09:00-11:30, 13:30-17:00}",
            ),
            test=True,
        )
        coldmail.import_leads([{"email": e, **fields} for e, (fields, _) in PEOPLE.items()])
        due = dict(coldmail.rows("SELECT email, due FROM leads"))
        assert set(due.values()) == {due["tokyo@take.example"]}, "a due time stays what it was"
        assert coldmail.fast_forward(seconds=30)[0] == 0
        mails = collections.defaultdict(list)
        for address, when in slots(coldmail):
            there = local(when, PEOPLE[address][1])
            assert there.weekday() < 5 and is_in(there, windows), (address, there)
            mails[address].append(when)
        assert {a: len(v) for a, v in mails.items()} == dict.fromkeys(PEOPLE, 3)
        for v in mails.values():
            assert all(b - a >= datetime.timedelta(days=9) for a, b in zip(v, v[1:]))
        # Nobody waits longer than her clock makes her: the first goes when the first window opens.
        first = {a: local(v[0], PEOPLE[a][1]) for a, v in mails.items()}
        assert first["tokyo@take.example"].isoformat()[:16] == "2026-03-05T09:00"
        assert first["nowhere@take.example"].isoformat()[:10] == "2026-03-04"
        assert first["berlin@take.example"].isoformat()[:16] == "2026-03-05T09:00"


def test_holidays_and_freezes_are_left_out(tmp_path, clock):
    clock("2026-12-22T18:00:00Z")
    (tmp_path / "days.txt").write_text("# ours\n2027-01-06  Epiphany\n2027-01-08\n")
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, gap="20h"),
            mailbox(BEA, server.port, gap="20h"),
            campaign("us", (ALI,), **OFFICE, holidays="us", freeze="{2026-12-28/2026-12-30}"),
            campaign("own", (BEA,), **OFFICE, holidays='"./days.txt"', timezone='"Europe/Vienna"'),
            test=True,
        )
        coldmail.import_leads(addresses(8, "us.example"), "us")
        coldmail.import_leads(addresses(8, "own.example"), "own")
        assert coldmail.fast_forward(seconds=30)[0] == 0
        days = {"us": [], "own": []}
        for address, when in slots(coldmail):
            name = "us" if address.endswith("us.example") else "own"
            days[name].append(local(when, "UTC" if name == "us" else "Europe/Vienna").date())
        # Christmas is a Friday, New Year's Day, too.
        assert [d.isoformat()[5:] for d in days["us"]] == [
            "12-23", "12-24", "12-31", "01-04", "01-05", "01-06", "01-07", "01-08"]
        assert [d.isoformat()[5:] for d in days["own"]] == [
            "12-23", "12-24", "12-25", "12-28", "12-29", "12-30", "12-31", "01-01"]


def binding(reasons):
    return next(r for r in reasons if r["binds"])


def test_case_16_why_names_the_hour_at_which_it_opens(tmp_path, clock):
    clock("2026-03-07T15:00:00Z")  # a Saturday
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port),
        campaign(**OFFICE, timezone='"America/New_York"'),
        test=True,
    ) as coldmail:
        coldmail.import_leads([{"email": "here@take.example"},
                               {"email": "la@take.example", "country": "US", "region": "CA"}])
        clock("2026-03-07T15:01:00Z")
        coldmail.start()
        why = binding(wait_until(lambda: coldmail.ctl("why"), what="an answer"))
        # The clocks change on Sunday: 09:00 is 13:00 in UTC.
        assert (why["reason"], why["until"]) == ("window_closed", "2026-03-09T13:00:00Z")
        assert why["subject"] == "campaign founders" and "America/New_York" in why["value"]
        assert why["limit"] == "mon tue wed thu fri 09:00-17:00"
        why = binding(coldmail.ctl("why", "la@take.example"))
        assert (why["reason"], why["until"]) == ("window_closed", "2026-03-09T16:00:00Z")
        status = coldmail.status()
        assert status["scheduler"]["next_due"] == "2026-03-09T13:00:00Z"
        assert status["campaigns"][0]["due_now"] == 2
        assert coldmail.stop() == 0
        # Due and gated: a cron job is told.
        clock("2026-03-07T16:00:00Z")
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "in the way: campaign founders: window_closed" in summary
        clock("2026-07-03T15:00:00Z")
        coldmail.configure(
            mailbox(ALI, server.port),
            campaign(**OFFICE, timezone='"America/New_York"', holidays="us"),
        )
        coldmail.start()
        why = binding(coldmail.ctl("why", "founders"))
        assert (why["reason"], why["until"]) == ("holiday", "2026-07-06T13:00:00Z")
        assert why["value"] == "Independence Day (observed) in America/New_York"
        assert not server.mails() and coldmail.stop() == 0


def test_a_step_is_due_so_long_after_the_one_before_and_goes_when_it_opens(tmp_path, clock):
    clock("2026-03-06T16:58:00Z")  # a Friday
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port),
        campaign(steps=("intro", "nudge"), after="20h", **OFFICE),
        test=True,
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        assert coldmail.run_until_idle()[0] == 0
        sent, = slots(coldmail)
        lead = coldmail.lead("lead0@take.example")
        assert abs(lead["due"] - sent[1].timestamp() * 1000 - 20 * HOUR) < 60000
        coldmail.start()
        why = binding(coldmail.ctl("why"))
        assert (why["reason"], why["until"]) == ("window_closed", "2026-03-09T09:00:00Z")
        assert coldmail.stop() == 0
        assert coldmail.fast_forward()[0] == 0
        assert [w.isoformat()[:16] for _, w in slots(coldmail)][1] == "2026-03-09T09:00"


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_case_21_23_closed_leads_cost_nothing_and_hold_up_nobody(tmp_path, clock):
    """2,000 leads of closed zones are earlier in line than the one whose window is open."""
    clock("2026-03-04T09:30:00Z")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(**OFFICE), test=True
    ) as coldmail:
        zones = ["Asia/Tokyo", "America/New_York", "America/Denver", "Pacific/Auckland"]
        rows = [{"email": a, "timezone": zones[i % 4]} for i, a in enumerate(addresses(2000))]
        coldmail.import_leads(rows)
        coldmail.import_leads([{"email": "open@take.example", "timezone": "Europe/London"}])
        coldmail.start()
        coldmail.wait_sent(1)
        assert coldmail.states()["queued", ""] == 2000
        before = cpu_seconds(coldmail.process.pid)
        time.sleep(1.5)
        assert cpu_seconds(coldmail.process.pid) - before < 0.3, "it looks again and again"
        # Who comes in while it waits is not kept waiting, known zone or not.
        coldmail.import_leads([{"email": "paris@take.example", "country": "France"}])
        coldmail.wait_sent(2)
        assert {m.to[0] for m in server.mails()} == {"open@take.example", "paris@take.example"}
        assert coldmail.status()["scheduler"]["next_due"] == "2026-03-04T14:00:00Z"
        assert coldmail.stop() == 0


def test_the_window_is_read_again_after_the_reservation(tmp_path, clock):
    """A store that is slow over the hour's end: the attempt is released, and nothing leaves."""
    clock("2026-03-04T16:59:57Z")
    with FakeSmtp(tmp_path / "smtp", rules=["on connect do delay 1500"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(**OFFICE), test=True
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM emails WHERE state = 'ready'", 1)
        due = coldmail.lead("lead0@take.example")["due"]
        lock = sqlite3.connect(coldmail.store, isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        time.sleep(4)
        lock.execute("ROLLBACK")
        lock.close()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'released'", 1)
        attempt = coldmail.rows("SELECT * FROM attempts WHERE slot = 0")[0]
        assert attempt["class"] == "window_closed" and not server.mails()
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'queued'", 1)
        assert coldmail.lead("lead0@take.example")["due"] == due
        assert coldmail.stop() == 0
        clock("2026-03-04T18:00:00Z")
        assert coldmail.fast_forward()[0] == 0
        assert [w.isoformat()[:16] for _, w in slots(coldmail)] == ["2026-03-05T09:00"]


def test_a_connection_that_takes_too_long_reserves_nothing(tmp_path, clock):
    clock("2026-03-04T16:59:58Z")
    with FakeSmtp(tmp_path / "smtp", rules=["on connect do delay 3000"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(**OFFICE), test=True
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'in_flight'", 1)
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'queued'", 1)
        assert coldmail.count("SELECT count(*) FROM attempts") == 0 and not server.mails()
        assert coldmail.stop() == 0


def test_a_reload_opens_and_closes(tmp_path, clock):
    clock("2026-03-04T18:00:00Z")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="300ms"), campaign(**OFFICE), test=True
    ) as coldmail:
        coldmail.import_leads(addresses(40))
        coldmail.start()
        time.sleep(0.5)
        assert not server.mails()
        coldmail.configure(
            mailbox(ALI, server.port, gap="300ms"), campaign(window="09:00-19:00", days=WEEKDAYS)
        )
        coldmail.ctl("reload")
        coldmail.wait_sent(2)
        coldmail.configure(mailbox(ALI, server.port, gap="300ms"), campaign(**OFFICE))
        coldmail.ctl("reload")
        time.sleep(0.5)
        n = len(server.mails())
        time.sleep(1)
        assert len(server.mails()) == n < 40
        assert coldmail.stop() == 0


def test_a_reload_reads_the_list_of_holidays_again(tmp_path, clock):
    clock("2026-03-04T10:00:00Z")
    days = tmp_path / "days.txt"
    days.write_text("2026-03-04 Ours\n")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port),
        campaign(**OFFICE, holidays=f'"{days}"'),
        test=True,
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        assert binding(coldmail.ctl("why"))["reason"] == "holiday" and not server.mails()
        days.write_text("2026-03-05 Ours\n")
        changes = [f'~ campaign founders: holidays "{days}" has another content']
        assert coldmail.ctl("reload")["changes"] == changes
        coldmail.wait_sent(1)
        assert coldmail.ctl("reload")["changes"] == []


def test_a_claim_of_before_a_reload_says_nothing_about_the_hours_of_after(tmp_path, clock):
    """A store that is slow over a reload: its answer knows the window that was, and is asked again."""
    clock("2026-03-04T18:00:00Z")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(**OFFICE), test=True
    ) as coldmail:
        coldmail.import_leads(addresses(3))
        lock = sqlite3.connect(coldmail.store, isolation_level=None)
        lock.execute("UPDATE leads SET stage = 'send'")  # what is claimed first
        coldmail.start()
        lock.execute("BEGIN IMMEDIATE")
        coldmail.ctl("reload")  # claims, and waits for the store
        coldmail.configure(
            mailbox(ALI, server.port), campaign(window="09:00-19:00", days=WEEKDAYS)
        )
        coldmail.ctl("reload")
        lock.execute("ROLLBACK")
        lock.close()
        coldmail.wait_sent(3)
        assert coldmail.stop() == 0


def test_case_40_downtime_makes_no_burst(tmp_path, clock):
    """What fell due in two weeks without the daemon goes out at the mailbox's pace, in its hours."""
    clock("2026-03-02T09:00:00Z")
    keys = dict(steps=("intro", "nudge"), after="3d", **OFFICE)
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(**keys), test=True)
        coldmail.import_leads(addresses(60))
        assert coldmail.run_until_idle()[0] == 0
        clock("2026-03-14T12:00:00Z")
        coldmail.configure(
            mailbox(ALI, server.port, gap="10min-20min", daily_limit=25), campaign(**keys)
        )
        assert coldmail.fast_forward(seconds=30)[0] == 0
        late = [w for _, w in slots(coldmail)][60:]
        assert len(late) == 60 and late[0].isoformat()[:16] == "2026-03-16T09:00"
        assert all(b - a >= datetime.timedelta(minutes=10) for a, b in zip(late, late[1:]))
        assert max(collections.Counter(w.date() for w in late).values()) <= 25
        assert all(is_in(w, [("09:00", "17:00")]) and w.weekday() < 5 for w in late)


def test_a_window_that_never_opens_is_said(tmp_path, clock):
    clock("2026-03-04T10:00:00Z")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port),
        campaign(**OFFICE, freeze="{2026-01-01/2028-01-01}"),
        test=True,
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        clock("2026-03-04T10:01:00Z")
        assert coldmail.fast_forward()[0] == 75
        coldmail.start()
        why = binding(coldmail.ctl("why"))
        assert why["reason"] == "holiday" and why["until"] is None
        assert "does not open within a year" in why["value"] and not server.mails()
        assert coldmail.stop() == 0
