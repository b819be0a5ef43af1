"""What a day of a mailbox may hold: its ramp, its own calendar, its share; and what `why` says of it.
The arithmetic here is done on the ledger's slots alone."""
import collections
import datetime
import zoneinfo

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from test_pace import DAY, HOUR, most_in_a_day, slots


def by_day(times, zone="UTC"):
    """[mails on each calendar day there, from the first to the last]"""
    tz = zoneinfo.ZoneInfo(zone)
    days = collections.Counter(datetime.datetime.fromtimestamp(t / 1000, tz).date() for t in times)
    first, last = min(days), max(days)
    return [days[first + datetime.timedelta(i)] for i in range((last - first).days + 1)]


def test_a_ramp_grows_by_weeks_until_the_daily_limit(tmp_path):
    """{2, 4} and then 6: no calendar day and no 24 hours hold more, and none is wasted."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port, ramp="{2, 4}", daily_limit=6), campaign()
        )
        coldmail.import_leads(addresses(60))
        assert coldmail.fast_forward()[0] == 0
        times = slots(coldmail)[ALI]
        days = by_day(times)
        assert max(days[:7]) == 2 and max(days[7:14]) == 4 and max(days[14:]) == 6
        assert most_in_a_day([t for t in times if t < times[0] + 6 * DAY]) == 2
        assert most_in_a_day(times) == 6
        assert len(days) <= 18, "14 + 28 mails in two weeks, 6 a day for the others"


def test_case_40_a_restart_does_not_begin_the_ramp_again(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port, ramp="{1, 3}"), campaign())
        coldmail.import_leads(addresses(9))
        assert coldmail.run_until_idle()[0] == 75 and len(server.mails()) == 1
        with coldmail.database(write=True) as db:
            db.execute("UPDATE attempts SET at = at - ?", (7 * DAY + HOUR,))
        coldmail.ctl("resume", "clock")  # it is a week ahead of the ledger, and right
        assert coldmail.run_until_idle()[0] == 75 and len(server.mails()) == 4
        coldmail.start()
        gate = coldmail.ctl("why", ALI)[0]
        assert gate["reason"] == "mailbox_ramp" and gate["until"]
        assert gate["value"] == "3 in 24 h, 3 today"
        assert gate["limit"] == "3 (the ramp of its first weeks)"
        assert coldmail.stop() == 0


def test_a_warm_mailbox_says_since_when(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        warm = mailbox(ALI, server.port, ramp="{1, 2}", ramp_since="2020-01-01", daily_limit=5)
        coldmail = Coldmail(tmp_path, warm, campaign())
        coldmail.import_leads(addresses(9))
        assert coldmail.run_until_idle()[0] == 75 and len(server.mails()) == 5


def test_case_39_70_the_calendar_day_is_the_mailboxs_own(tmp_path):
    """Each in its own zone, and any 24 hours as well: two midnights give no mailbox a day more."""
    zones = {ALI: "Pacific/Auckland", BEA: "America/Los_Angeles"}
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            *(
                mailbox(m, server.port, daily_limit=4, gap="5h-7h", timezone=f'"{zone}"')
                for m, zone in zones.items()
            ),
            campaign(mailboxes=tuple(zones)),
        )
        coldmail.import_leads(addresses(40))
        assert coldmail.fast_forward()[0] == 0
        for m, times in slots(coldmail).items():
            assert max(by_day(times, zones[m])) <= 4 and most_in_a_day(times) <= 4


def test_mailboxes_share_by_what_they_have_left(tmp_path):
    """None is worn out while another rests."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port, daily_limit=20),
        mailbox(BEA, server.port, daily_limit=10),
        campaign(mailboxes=(ALI, BEA)),
    ) as coldmail:
        coldmail.start()
        for i in range(1, 16):
            coldmail.import_leads(addresses(i))
            coldmail.wait_sent(i)
        sent = {m: len(times) for m, times in slots(coldmail).items()}
        assert sent == {ALI: 10, BEA: 5}


def test_case_40_a_restart_remembers_what_a_server_said(tmp_path):
    """A backoff goes on where it was, and a mailbox that a restart finds silent says why."""
    with FakeSmtp(tmp_path / "smtp", rules=["on connect do reply 421 Not now then drop"]) as server:
        with Coldmail(tmp_path, mailbox(ALI, server.port), campaign()) as coldmail:
            coldmail.import_leads(addresses(1))
            coldmail.start()
            coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
            for end in (coldmail.kill, coldmail.stop):
                end()
                coldmail.start()
                gate = coldmail.ctl("why", ALI)[0]
                assert gate["reason"] == "mailbox_throttled" and "Not now" in gate["value"]
            assert coldmail.stop() == 0
            assert server.summary()["connections"] == 1
            # The next one is twice as long, not the first again.
            assert coldmail.count("SELECT backoff FROM mailboxes") == 2 * 60 * 1000


def test_a_daily_limit_is_learned_from_what_the_provider_took(tmp_path):
    """Not from the mail that it refused, at the dot."""
    rules = ["on dot after 3 do reply 550 5.4.5 Daily user sending limit exceeded."]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(8))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
        shown = coldmail.ctl("mailboxes")[0]
        assert (shown["cap"], shown["cap_why"]) == (3, "its provider took no more in a day")
        assert len(server.mails()) == 3


def test_case_07_a_server_that_loses_mails_at_the_dot_is_asked_less_and_less(tmp_path):
    """Each is uncertain and stays so; the mailbox backs off as for any other trouble, and a mail that
    was taken ends that."""
    rules = ["on dot times 4 do rst", "on dot times 1 do accept", "on dot times 1 do drop"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(8))
        assert coldmail.fast_forward()[0] == 75
        tries = coldmail.rows("SELECT state, at FROM attempts WHERE slot = 0 ORDER BY at, rowid")
        ends = [t["state"] for t in tries]
        # What waited behind a lost mail is given back, and comes again.
        slots = [
            r["at"] for r in coldmail.rows("SELECT at FROM attempts WHERE slot = 1 ORDER BY at")
        ]
        assert [(b - a) // 60000 for a, b in zip(slots, slots[1:])] == [1, 2, 4, 8, 0, 1, 0]
        assert ends.count("uncertain") == 5 and ends.count("sent") == 3
        told = coldmail.events("mailbox_uncertain")
        assert [e["in_a_row"] for e in told] == [3, 4] and told[0]["mailbox"] == ALI
        assert told[0]["level"] == "warning" and "--outcome uncertain" in told[0]["remedy"]
        assert coldmail.states() == {("held", "send_uncertain"): 5, ("ended", "completed"): 3}
        oracle.check(coldmail, server.mails())


def test_case_40_a_loss_at_the_dot_is_shown_and_remembered(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do accept then drop"]) as server:
        with Coldmail(tmp_path, mailbox(ALI, server.port, connections=1), campaign()) as coldmail:
            coldmail.import_leads(addresses(9))
            coldmail.start()
            coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
            for end in (coldmail.kill, coldmail.stop):
                (box,) = coldmail.ctl("mailboxes")
                assert box["state"] == "throttled" and box["until"]
                assert box["why"].startswith("a mail is uncertain: ")
                gate = coldmail.ctl("why", ALI)[0]
                assert gate["reason"] == "mailbox_throttled" and gate["until"] == box["until"]
                assert gate["value"] == box["why"]
                end()
                coldmail.start()
            assert coldmail.stop() == 0
            assert len(server.mails()) == 1
            assert coldmail.count("SELECT backoff FROM mailboxes") == 2 * 60 * 1000


def test_a_stop_that_waits_no_longer_for_the_dot_blames_no_mailbox(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do silence"]) as server:
        with Coldmail(
            tmp_path, "stop_timeout = 300ms\n", mailbox(ALI, server.port), campaign()
        ) as coldmail:
            coldmail.import_leads(addresses(1))
            coldmail.start()
            coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
            assert coldmail.stop() == 0
            assert coldmail.states() == {("held", "send_uncertain"): 1}
            assert not coldmail.events("mailbox_fault")
            assert coldmail.count("SELECT count(*) FROM mailboxes WHERE state <> 'ready'") == 0


def test_resume_ends_what_a_server_did(tmp_path):
    """At once, and for good: nothing of it is remembered."""
    with FakeSmtp(tmp_path / "smtp", rules=["on connect times 1 do reply 421 No then drop"]) as server:
        with Coldmail(tmp_path, mailbox(ALI, server.port), campaign()) as coldmail:
            coldmail.import_leads(addresses(3))
            coldmail.start()
            coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
            coldmail.ctl("resume", "mailbox", ALI)
            coldmail.wait_sent(3)
            coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'ready'", 1)


def test_mailboxes_are_shown_with_what_is_in_the_way(tmp_path):
    rules = ["on connect times 1 do reply 421 Not now then drop"]
    with FakeSmtp(tmp_path / "ali") as server, FakeSmtp(tmp_path / "bea", rules=rules) as down:
        with Coldmail(
            tmp_path,
            mailbox(ALI, server.port, daily_limit=5, ramp="{2}", gap="1h"),
            mailbox(BEA, down.port),
            campaign(mailboxes=(ALI, BEA)),
        ) as coldmail:
            coldmail.import_leads(addresses(2))
            coldmail.start()
            coldmail.wait_sent(1)
            coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
            ali, bea = coldmail.ctl("mailboxes")
            assert (ali["address"], ali["state"], ali["why"]) == (ALI, "waiting", "mailbox_gap")
            assert (ali["sent_24h"], ali["cap"], ali["daily_limit"]) == (1, 2, 5)
            assert ali["cap_why"] == "the ramp of its first weeks"
            assert (bea["state"], bea["connections"]) == ("throttled", 1)
            assert "Not now" in bea["why"] and bea["until"] and bea["cap"] == 1000000
            assert coldmail.status()["mailboxes"] == [ali, bea]
            coldmail.ctl("pause", "mailbox", ALI)
            gates = coldmail.ctl("why", ALI)
            assert [g["reason"] for g in gates] == ["mailbox_paused", "mailbox_gap"]
            assert [g["binds"] for g in gates] == [True, False]
            assert gates[0]["value"] == "paused by an operator"
            assert coldmail.stop() == 0
            assert coldmail.ctl("mailboxes", status=69)
