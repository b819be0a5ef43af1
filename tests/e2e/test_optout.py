"""Who asked to be left alone is left alone: no mail follows an opt-out that was acknowledged, but for
one that was past its slot, and the answer names that one."""
import itertools
import threading
import time

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

ROUNDS = 4000


def suppress(control, address):
    return control.call("suppress/add", patterns=[address])


def stop(control, address):
    return control.call("leads/stop", address=address, because="opted-out")


class Racer(threading.Thread):
    """Opts people out while their mails are under way: whoever has an open attempt now, else the
    next in line."""

    def __init__(self, coldmail, people, verbs, over):
        super().__init__()
        self.coldmail, self.left, self.over = coldmail, set(people), over
        self.verbs = itertools.cycle(verbs)
        self.acknowledged, self.stopped, self.named, self.failure = [], 0, 0, None

    def targets(self, db):
        under_way = [
            r[0]
            for r in db.execute("SELECT to_email FROM attempts WHERE state = 'reserved'").fetchall()
        ]
        return [a for a in under_way if a in self.left][:4] or sorted(self.left)[:1]

    def run(self):
        try:
            control = self.coldmail.control()
            with self.coldmail.database() as db:
                while self.left and not self.over.is_set():
                    for address in self.targets(db):
                        self.left.discard(address)
                        answer = next(self.verbs)(control, address)
                        now = time.time() * 1000
                        self.acknowledged.append(
                            oracle.OptOut(address, now, answer["in_transmission"])
                        )
                        self.stopped += answer["stopped"]
                        self.named += len(answer["in_transmission"])
        except BaseException as failure:
            self.failure = failure


def test_case_48_no_mail_follows_an_acknowledged_opt_out(tmp_path):
    """Thousands of rounds, in the middle of sending."""
    people = addresses(ROUNDS)
    over = threading.Event()
    rules = [
        "on rcpt every 3 do delay 2",
        "on dot every 2 do delay 3",
        "on data every 5 do delay 1",
    ]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server:
        boxes = [mailbox(a, server.port, connections=2) for a in (ALI, BEA)]
        with Coldmail(
            tmp_path, *boxes, campaign(mailboxes=(ALI, BEA), steps=("intro", "nudge"))
        ) as coldmail:
            coldmail.import_leads(people)
            coldmail.start()
            racers = [Racer(coldmail, people[i::2], [suppress, stop], over) for i in range(2)]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join(60)
            over.set()
            assert [r.failure for r in racers] == [None, None] and not any(
                r.is_alive() for r in racers
            )
            coldmail.wait_for("SELECT count(*) FROM leads WHERE state <> 'ended'", 0)
            assert coldmail.stop() == 0
        acknowledged = [o for r in racers for o in r.acknowledged]
        oracle.check(coldmail, server.mails(), acknowledged)
        assert len(acknowledged) == ROUNDS
        # The race was one: some were caught before their slot, some after it.
        assert sum(r.stopped for r in racers) >= 50 and sum(r.named for r in racers) >= 50
        assert (
            coldmail.count(
                "SELECT count(*) FROM leads WHERE reason NOT IN"
                " ('opted_out', 'suppressed', 'completed')"
            )
            == 0
        )


@pytest.mark.parametrize(
    "because, reason, status",
    [
        ("opted-out", "opted_out", "unsubscribed"),
        ("bounced", "bounced", "bounced"),
        ("replied", "lead_replied", "replied"),
    ],
)
def test_case_48_a_later_step_is_cancelled(because, reason, status, tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port), campaign(steps=("intro", "nudge"), after="2h")
        )
        coldmail.import_leads(addresses(2))
        coldmail.run_until_idle()
        coldmail.ctl("leads", "stop", "lead0@take.example", "--because", because)
        assert coldmail.fast_forward()[0] == 0
        assert sorted(m.to[0] for m in server.mails()) == [
            "lead0@take.example",
            "lead1@take.example",
            "lead1@take.example",
        ]
        lead = coldmail.lead("lead0@take.example")
        assert (lead["state"], lead["reason"], lead["status"]) == ("ended", reason, status)
        oracle.check(coldmail, server.mails())


@pytest.mark.parametrize(
    "because, status", [("opted-out", "failed"), ("replied", "failed"), ("stopped", "failed")]
)
def test_whoever_left_before_the_first_mail_was_never_written_to(because, status, tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(2))
        coldmail.ctl("leads", "stop", "lead0@take.example", "--because", because)
        coldmail.run_until_idle()
        assert [m.to[0] for m in server.mails()] == ["lead1@take.example"]
        assert coldmail.lead("lead0@take.example")["status"] == status
        oracle.check(coldmail, server.mails())


def test_a_domain_covers_its_subdomains_and_a_star_only_itself(tmp_path):
    people = [
        "a@gone.example",
        "b@sub.gone.example",
        "c@gone.example.com",
        "d@notgone.example",
        "e@star.example",
        "f@sub.star.example",
    ]
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(people[:3])
        coldmail.ctl("suppress", "add", "gone.example", "*@star.example")
        coldmail.import_leads(people)  # never un-suppresses
        assert coldmail.run_until_idle()[0] == 0
        assert sorted(m.to[0] for m in server.mails()) == [
            "c@gone.example.com",
            "d@notgone.example",
            "f@sub.star.example",
        ]
        assert {(s, r) for s, r in coldmail.states()} == {
            ("ended", "completed"),
            ("ended", "suppressed"),
        }
        coldmail.import_leads(people)
        coldmail.run_until_idle()
        assert len(server.mails()) == 3
        oracle.check(coldmail, server.mails())


def test_a_suppressed_lead_is_not_revived_by_an_import(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.ctl("suppress", "add", "take.example")
        coldmail.import_leads(addresses(1))
        coldmail.run_until_idle()
        coldmail.ctl(
            "suppress", "remove", "take.example", "--reason", "asked to be written to again"
        )
        coldmail.import_leads(addresses(1))
        coldmail.run_until_idle()
        assert not server.mails()


def test_a_stop_during_a_slow_dot_is_told_that_it_came_too_late(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 800"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        answer = coldmail.ctl("leads", "stop", "lead0@take.example", "--because", "opted-out")
        [attempt] = coldmail.rows("SELECT key, n FROM attempts WHERE slot = 0")
        assert answer["in_transmission"] == [f"{attempt['key']}#{attempt['n']}"]
        wait_until(server.mails, what="the mail that was on its way")
        coldmail.wait_sent(1)
        assert coldmail.stop() == 0
        assert coldmail.lead("lead0@take.example")["status"] == "unsubscribed"
        oracle.check(coldmail, server.mails())
