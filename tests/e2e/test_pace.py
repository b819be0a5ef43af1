"""When mails go out: gaps, daily limits, restarts, and that a slow server costs the others nothing.
The arithmetic here is done on the ledger's slots alone."""
import collections
import datetime
import json
import signal
import time

import pytest

from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

MINUTE, HOUR, DAY = 60 * 1000, 3600 * 1000, 86400 * 1000


def slots(coldmail):
    """{mailbox: the times at which its slots were taken, in order}"""
    times = collections.defaultdict(list)
    for row in coldmail.rows(
        "SELECT mailbox, at FROM attempts WHERE slot = 1" " AND state = 'transmitting' ORDER BY at"
    ):
        times[row["mailbox"]].append(row["at"])
    return times


def most_in_a_day(times):
    """The largest number of slots in any 24 hours."""
    return max(sum(1 for t in times if start <= t < start + DAY) for start in times)


def test_gaps_are_kept_and_vary(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, gap="3min-7min"),
            mailbox(BEA, server.port, gap="2min"),
            campaign(mailboxes=(ALI, BEA)),
        )
        coldmail.import_leads(addresses(120))
        assert coldmail.fast_forward()[0] == 0
        gaps = {m: [b - a for a, b in zip(t, t[1:])] for m, t in slots(coldmail).items()}
        assert len(gaps[ALI]) + len(gaps[BEA]) == 118
        assert 3 * MINUTE <= min(gaps[ALI]) and max(gaps[ALI]) <= 7 * MINUTE + 5000
        assert len({gap // 10000 for gap in gaps[ALI]}) > 5, "a gap that does not vary"
        assert 2 * MINUTE <= min(gaps[BEA]) and max(gaps[BEA]) <= 2 * MINUTE + 5000


def test_case_65_a_daily_limit_is_met_exactly_and_never_passed(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, gap="5min-30min", daily_limit=7),
            mailbox(BEA, server.port, daily_limit=5, connections=4),
            campaign(mailboxes=(ALI, BEA), steps=("intro", "nudge"), after="1d"),
        )
        coldmail.import_leads(addresses(30))
        assert coldmail.fast_forward()[0] == 0
        times = slots(coldmail)
        assert len(times[ALI]) + len(times[BEA]) == 60
        assert most_in_a_day(times[ALI]) == 7 and most_in_a_day(times[BEA]) == 5
        assert sum(1 for t in times[BEA] if t < times[BEA][0] + DAY) == 5


def test_case_40_a_restart_grants_nothing(tmp_path):
    """Neither the day's mails again nor the gap."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port, daily_limit=3),
        mailbox(BEA, server.port, gap="2h-3h"),
        campaign(mailboxes=(ALI, BEA)),
    ) as coldmail:
        coldmail.import_leads(addresses(40))
        for end in (coldmail.stop, coldmail.kill, coldmail.stop):
            coldmail.start()
            coldmail.wait_sent(4)
            time.sleep(0.2)
            end()
        assert collections.Counter(m.sender for m in server.mails()) == {ALI: 3, BEA: 1}
        # Until idle ends when everything is further away than an hour, and says why.
        status, summary = coldmail.run_until_idle()
        assert status == 75 and len(server.mails()) == 4
        assert "mailbox_gap" in summary or "mailbox_daily_limit" in summary


def test_a_limit_that_is_raised_grants_no_more_than_it_says(tmp_path):
    """The day's mails count, also those that a smaller limit in between had no use for."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, daily_limit=10), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(40))
        coldmail.run_until_idle()
        coldmail.configure(mailbox(ALI, server.port, daily_limit=3), campaign())
        coldmail.start()
        for limit in (12, 5, 14):
            coldmail.configure(mailbox(ALI, server.port, daily_limit=limit), campaign())
            coldmail.ctl("reload")
            coldmail.wait_sent(max(12, limit))
            time.sleep(0.1)
            assert len(server.mails()) == max(12, limit)
        assert coldmail.stop() == 0


def test_two_reloads_at_once_count_a_mailbox_once(tmp_path):
    """What it sent is asked when it is configured again, and is not asked twice."""
    with FakeSmtp(tmp_path / "smtp") as server:
        without = mailbox(BEA, server.port), campaign("b", (BEA,))
        both = mailbox(ALI, server.port, daily_limit=10), campaign("a"), *without
        with Coldmail(tmp_path, *both) as coldmail:
            coldmail.import_leads(addresses(4), "a")
            assert coldmail.run_until_idle()[0] == 0
            coldmail.configure(*without)
            coldmail.start()
            coldmail.configure(*both)
            controls = [coldmail.control() for _ in range(3)]
            for control in controls:
                control.connect()
            coldmail.process.send_signal(signal.SIGSTOP)
            for control in controls:
                control.request("POST", "/v1/reload", "{}", {"Content-Type": "application/json"})
            coldmail.process.send_signal(signal.SIGCONT)
            assert {control.getresponse().status for control in controls} == {200}
            coldmail.import_leads(addresses(20, "more.example"), "a")
            coldmail.wait_sent(10)


def test_a_mailbox_that_keeps_failing_is_tried_ever_more_rarely(tmp_path):
    """1, 2, 4 minutes and so on, an hour at most; one connection finds out whether it is better."""
    with FakeSmtp(
        tmp_path / "smtp", rules=["on connect times 9 do reply 421 4.3.2 Not today then drop"]
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(3))
        assert coldmail.fast_forward()[0] == 0
        assert len(server.mails()) == 3 and server.summary()["connections"] == 10
        times = [
            datetime.datetime.fromisoformat(e["ts"]) for e in coldmail.events("connect_failed")
        ]
        waits = [round((b - a).total_seconds() / 60) for a, b in zip(times, times[1:])]
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_case_14_a_thread_waits_for_its_own_mailbox(tmp_path):
    """When that one is down, no other one answers in its place."""
    with FakeSmtp(tmp_path / "ali") as one, FakeSmtp(tmp_path / "bea") as two:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, one.port),
            mailbox(BEA, two.port),
            campaign(mailboxes=(ALI, BEA), steps=("intro", "nudge"), after="90min"),
        )
        coldmail.import_leads(addresses(20))
        coldmail.run_until_idle()
        first = {m.to[0]: m.sender for m in one.mails() + two.mails()}
        assert set(first.values()) == {ALI, BEA}
        one.set_rules("on connect times 5 do reply 421 Down then drop")
        assert coldmail.fast_forward()[0] == 0
        mails = one.mails() + two.mails()
        assert len(mails) == 40 and all(m.sender == first[m.to[0]] for m in mails)
        assert len(coldmail.events("connect_failed")) == 5


def test_case_25_what_was_missed_goes_out_once_after_the_start(tmp_path):
    """Due times are stored: weeks of downtime make no burst and lose nobody."""
    with FakeSmtp(tmp_path / "smtp") as server:
        follow_up = campaign(steps=("intro", "nudge"), after="7d")
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), follow_up)
        coldmail.import_leads(addresses(5))
        assert coldmail.run_until_idle()[0] == 0
        with coldmail.database(write=True) as db:
            db.execute("UPDATE leads SET due = due - ?", (9 * DAY,))
        coldmail.configure(mailbox(ALI, server.port, gap="1min"), follow_up)
        assert coldmail.fast_forward()[0] == 0
        times = slots(coldmail)[ALI][5:]
        assert len(times) == 5 and all(b - a >= MINUTE for a, b in zip(times, times[1:]))
        assert len(server.mails()) == 10


def test_case_43_a_clock_that_stepped_back_grants_nothing(tmp_path):
    """What the ledger has in the future counts as if it were now."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, daily_limit=3),
            mailbox(BEA, server.port, gap="90min"),
            campaign(mailboxes=(ALI, BEA)),
        )
        coldmail.import_leads(addresses(20))
        assert coldmail.run_until_idle()[0] == 75
        with coldmail.database(write=True) as db:
            db.execute("UPDATE attempts SET at = at + ?", (3 * DAY,))
        assert coldmail.run_until_idle()[0] == 75
        assert collections.Counter(m.sender for m in server.mails()) == {ALI: 3, BEA: 1}


def busy(folder, rules):
    """800 mails of one mailbox beside a few of another; (seconds, longest turn of the loop)."""
    with FakeSmtp(folder / "smtp", rules=rules) as server, Coldmail(
        folder,
        "stop_timeout = 100ms\n",
        mailbox(ALI, server.port, connections=4),
        mailbox(BEA, server.port, connections=4),
        campaign("few"),
        campaign("many", mailboxes=(BEA,)),
    ) as coldmail:
        coldmail.import_leads(addresses(4, "few.example"), "few")
        coldmail.import_leads(addresses(800, "many.example"), "many")
        coldmail.start()
        begin = time.monotonic()
        coldmail.wait_for(
            "SELECT count(*) FROM attempts WHERE state = 'sent' AND campaign = 'many'", 800, 40
        )
        took = time.monotonic() - begin
        turn = coldmail.status()["scheduler"]["loop_stall_max_seconds"]
        assert coldmail.stop() == 0
        return took, turn


def test_case_24_68_a_silent_server_delays_no_other_mailbox(tmp_path):
    """The same work with and without a server that is silent at the dot: as fast, and no turn
    longer than three times the longest without it. A busy machine can only lengthen both, so the
    best of three counts."""
    tries = []
    for i in range(3):
        plain, turn = busy(tmp_path / f"plain{i}", [])
        silent, silent_turn = busy(tmp_path / f"silent{i}", ["on dot from ali@* do silence"])
        if silent < 2 * plain + 0.5 and silent_turn <= 3 * max(turn, 0.005):
            return
        tries.append((plain, silent, turn, silent_turn))
    pytest.fail(f"(seconds, seconds beside a silent server, turn, turn beside it): {tries}")


@pytest.mark.parametrize("reply", ["450 4.7.1 Later", "550 5.7.1 Blocked", "550 5.1.1 Unknown"])
def test_case_23_a_refusal_before_the_slot_costs_a_gap_too(tmp_path, reply):
    """However long the list, and over a restart: no server is asked faster than the gap allows."""
    with FakeSmtp(tmp_path / "smtp", rules=[f"on rcpt do reply {reply}"]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, gap="1h"), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(50))
        for _ in range(2):
            coldmail.start()
            tried = "SELECT count(*) FROM attempts WHERE state = 'refused'"
            coldmail.wait_for(tried, 1)
            time.sleep(1)
            assert coldmail.count(tried) == 1
            gates = {reason["reason"] for reason in coldmail.ctl("why", ALI)}
            assert gates & {"mailbox_gap", "mailbox_throttled", "mailbox_blocked"}
            assert coldmail.stop() == 0


@pytest.mark.parametrize("is_test", [False, True], ids=["mail", "test-send"])
def test_case_40_a_slot_that_outlived_its_connection_counts_at_once(is_test, tmp_path):
    """The server breaks off while the slot is on its way to the disk: no mail, and one of the day's."""
    taken = "SELECT count(*) FROM " + ("test_slots" if is_test else "attempts WHERE slot = 1")
    with FakeSmtp(tmp_path / "smtp", rules=["on data do delay 500"]) as server, Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port, daily_limit=1),
        campaign(start="manual" if is_test else "auto"),
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        test = coldmail.control()
        if is_test:
            body = json.dumps({"campaign": "founders", "to": "me@send.example"})
            test.request("POST", "/v1/test-send", body, {"Content-Type": "application/json"})
        else:
            coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'reserved'", 1)
        wait_until(lambda: server.summary()["connections"], what="a connection")
        with coldmail.database(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            time.sleep(1)  # the server is past its 354, and has the mail but for the dot
            server.kill()
            wait_until(lambda: coldmail.events("mailbox_fault"), what="the connection's end")
            assert coldmail.count(taken) == 0
        coldmail.wait_for(taken, 1)
        wait_until(lambda: coldmail.ctl("mailboxes")[0]["in_flight"] == 0, what="the mail's end")
        assert coldmail.ctl("mailboxes")[0]["sent_24h"] == 1
        with FakeSmtp(tmp_path / "smtp") as server:
            coldmail.ctl("resume", "mailbox", ALI)
            gates = {reason["reason"] for reason in coldmail.ctl("why", ALI)}
            assert "mailbox_daily_limit" in gates
            time.sleep(0.3)
            assert not server.mails() and coldmail.count(taken) == 1
        assert coldmail.stop() == 0
