"""What a server says, and what it does instead of saying something: each becomes the outcome that
the ledger's table of failures wants, once."""
import collections

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

# What the first attempt is met with once -> (how it ends, how often the mail is then accepted)
ONCE = {
    "on connect do reply 421 Go away then drop": (None, 1),
    "on connect do drop": (None, 1),
    "on connect do rst": (None, 1),
    "on connect do partial 22 then drop": (None, 1),
    "on ehlo do reply 421 Go away then drop": (None, 1),
    "on ehlo do drop": (None, 1),
    "on ehlo do rst": (None, 1),
    "on mail do reply 451 Not now": ("refused", 1),
    "on mail do reply 421 Busy then drop": ("refused", 1),
    "on mail do drop": ("not_sent", 1),
    "on mail do rst": ("not_sent", 1),
    "on mail do partial 25 then drop": ("not_sent", 1),
    "on mail do partial \"What?\\r\\n\"": ("not_sent", 1),
    "on rcpt do reply 450 4.2.1 Greylisted": ("refused", 1),
    "on rcpt do reply 452 4.2.2 Full": ("refused", 1),
    "on rcpt do reply 421 Busy then drop": ("refused", 1),
    "on rcpt do drop": ("not_sent", 1),
    "on rcpt do rst": ("not_sent", 1),
    "on rcpt do reply 550 5.1.1 No such user": ("refused", 0),
    "on rcpt do reply 554 5.7.1 I do not like you": ("refused", 0),
    "on data do reply 451 Later": ("refused", 1),
    "on data do reply 554 No": ("refused", 0),
    "on data do drop": ("not_sent", 1),
    "on data do rst": ("not_sent", 1),
    "on data do partial 35 then rst": ("not_sent", 1),
    "on dot do reply 451 4.3.0 Later": ("refused", 1),
    "on dot do reply 452 No room 550 5.1.1 in the text": ("refused", 1),
    "on dot do reply 554 5.7.1 Spam": ("refused", 1),
    "on dot do reply 550 5.1.1 Nobody": ("refused", 0),
    "on dot do reply 421 Busy then drop": ("refused", 1),
    "on dot do accept then drop": ("uncertain", 1),
    "on dot do accept then rst": ("uncertain", 1),
    "on dot do accept then partial 250 then drop": ("uncertain", 1),
    "on dot do accept then partial \"250 2.0.0 ok\" then rst": ("uncertain", 1),
    'on dot do accept then partial "451 4.3.0 Later\\r\\n" then reply 250 Ok': ("uncertain", 1),
    'on dot do accept then partial "421 4.3.0 Busy\\r\\n" then delay 20 then reply 250 Ok': (
        "uncertain",
        1,
    ),
    "on dot do drop": ("uncertain", 0),
    "on dot do partial 25 then drop": ("uncertain", 0),
    "on dot do accept then reply 250 2.0.0 Ok then rst": ("sent", 1),
    "on dot do accept then reply 250 550 5.1.1 queued": ("sent", 1),
}


@pytest.mark.parametrize("rule", ONCE)
def test_case_07_08_35_37_each_failure_has_its_outcome(rule, tmp_path):
    outcome, accepted = ONCE[rule]
    rule = rule.replace(" do ", " times 1 do ", 1)
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(1))
        coldmail.fast_forward()
        first = coldmail.rows("SELECT state FROM attempts WHERE slot = 0 AND n = 1")[0][0]
        assert first == (outcome or "sent")
        assert len(server.mails()) == accepted
        oracle.check(coldmail, server.mails())
        suppressed = coldmail.count("SELECT count(*) FROM do_not_contact")
        assert suppressed == (" 550 5.1.1 No" in rule)
        if outcome == "uncertain":
            assert coldmail.states() == {("held", "send_uncertain"): 1}


@pytest.mark.parametrize("verb", ["connect", "ehlo", "mail", "rcpt", "data", "dot"])
def test_case_09_35_a_silent_server_holds_up_neither_a_stop_nor_the_truth(verb, tmp_path):
    """Before its slot a mail is given back; past it, it is waited for and then called uncertain."""
    with FakeSmtp(tmp_path / "smtp", rules=[f"on {verb} do silence"]) as server, Coldmail(
        tmp_path, "stop_timeout = 300ms\n", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        if verb in ("connect", "ehlo"):
            wait_until(lambda: server.summary()["connections"], what="a connection")
        else:
            coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 0", 1)
        if verb == "dot":
            coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        assert coldmail.stop(5) == 0
        tries = [r[0] for r in coldmail.rows("SELECT state FROM attempts WHERE slot = 0")]
        assert tries == {"connect": [], "ehlo": [], "dot": ["uncertain"]}.get(verb, ["released"])
        server.set_rules()
        coldmail.run_until_idle()
        assert len(server.mails()) == (0 if verb == "dot" else 1)
        oracle.check(coldmail, server.mails())


def test_case_36_a_refused_recipient_touches_that_address_only(tmp_path):
    """And the connection goes on."""
    with FakeSmtp(
        tmp_path / "smtp", rules=["on rcpt to no*@* do reply 550 5.1.1 No such user here"]
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(
            [
                a
                for pair in zip(addresses(10), [f"no{i}@take.example" for i in range(10)])
                for a in pair
            ]
        )
        assert coldmail.run_until_idle()[0] == 0
        assert server.summary() == {"accepted": 10, "refused": 10, "connections": 1}
        assert not coldmail.events("mailbox_state")
        assert coldmail.states() == {("ended", "completed"): 10, ("ended", "bounced"): 10}
        assert {r[0] for r in coldmail.rows("SELECT pattern FROM do_not_contact")} == {
            f"no{i}@take.example" for i in range(10)
        }
        oracle.check(coldmail, server.mails())


def test_an_unknown_refusal_is_held_with_its_text_and_suppresses_nobody(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp",
        rules=["on rcpt to odd@* do reply 554 5.9.9 The moon is in the wrong house"],
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(["odd@take.example", *addresses(3)])
        assert coldmail.run_until_idle()[0] == 75
        assert coldmail.states() == {("ended", "completed"): 3, ("held", "smtp_unknown"): 1}
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0
        [odd] = coldmail.ctl("sends", "--outcome", "refused")
        assert odd["code"] == 554 and "The moon is in the wrong house" in odd["reply"]
        server.set_rules()
        coldmail.ctl("leads", "release", "odd@take.example")
        assert coldmail.run_until_idle()[0] == 0
        assert len(server.mails()) == 4
        oracle.check(coldmail, server.mails())


def test_case_37_a_temporary_no_comes_again_with_the_same_bytes(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp", rules=["on dot times 3 do reply 451 4.7.1 Greylisted"]
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(1))
        assert coldmail.fast_forward()[0] == 0
        tries = coldmail.rows(
            "SELECT state, sha256, message_id, at FROM attempts WHERE slot = 0 ORDER BY n"
        )
        assert [t["state"] for t in tries] == ["refused"] * 3 + ["sent"]
        assert len({(t["sha256"], t["message_id"]) for t in tries}) == 1
        waits = [(b["at"] - a["at"]) // 60000 for a, b in zip(tries, tries[1:])]
        assert waits == [5, 15, 60]
        oracle.check(coldmail, server.mails())


@pytest.mark.parametrize("verb", ["rcpt", "dot"])
def test_a_try_repeats_its_bytes_whatever_the_configuration_says_since(verb, tmp_path):
    """Name and opt-out line change between two tries of a step, and the preview is what goes."""
    with FakeSmtp(
        tmp_path / "smtp", rules=[f"on {verb} times 1 do reply 451 4.7.1 Greylisted"]
    ) as server, Coldmail(tmp_path / "run", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        assert coldmail.stop() == 0
        own = 'identity { opt_out_line = "Tell me to stop." }'
        coldmail.configure(
            mailbox(ALI, server.port, name='"Ali Example"'),
            campaign().removesuffix("}\n") + own + "\n}\n",
        )
        preview = coldmail.ctl("preview", "founders", "--lead", "lead0@take.example")
        coldmail.fast_forward()
        tries = coldmail.rows("SELECT sha256, message_id FROM attempts WHERE slot = 0 ORDER BY n")
        assert len(tries) == 2 and len({tuple(t) for t in tries}) == 1
        (mail,) = server.mails()
        assert (mail.sha256, mail.message_id) == tuple(tries[0])
        sent = (server.maildir / "new" / mail.file).read_bytes()
        assert b"Tell me to stop." not in sent
        assert preview["bytes"].encode().replace(b"\r\n", b"\n") in sent.replace(b"\r\n", b"\n")
        oracle.check(coldmail, server.mails())


@pytest.mark.parametrize("verb", ["rcpt", "dot"])
def test_bytes_that_cannot_be_repeated_are_another_mail(verb, tmp_path):
    """As after a new renderer: the tries before were refused, so nobody has the mail yet."""
    with FakeSmtp(
        tmp_path / "smtp", rules=[f"on {verb} times 1 do reply 451 4.7.1 Greylisted"]
    ) as server, Coldmail(tmp_path / "run", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        assert coldmail.stop() == 0
        with coldmail.database(write=True) as db:
            db.execute("UPDATE emails SET identity = '{\"from_name\": 7'")
            db.execute("UPDATE emails SET body = 'What another renderer makes of it.'")
        coldmail.fast_forward()
        tries = coldmail.rows("SELECT sha256, message_id FROM attempts WHERE slot = 0 ORDER BY n")
        assert len(tries) == 2 and len({tuple(t) for t in tries}) == 2
        assert len({t["message_id"] for t in tries}) == 2
        assert [(m.sha256, m.message_id) for m in server.mails()] == [tuple(tries[1])]
        oracle.check(coldmail, server.mails())


def test_case_07_an_uncertain_mail_is_listed_and_never_resent_by_machine(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp", rules=["on dot to *.came do accept then rst", "on dot to *.lost do rst"]
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(steps=("intro", "nudge")))
        coldmail.import_leads(["a@x.came", "b@x.lost", "c@take.example"])
        for _ in range(2):
            assert coldmail.fast_forward()[0] == 75
        listed = {a["to"]: a for a in coldmail.ctl("sends", "--outcome", "uncertain")}
        assert set(listed) == {"a@x.came", "b@x.lost"}
        assert listed["a@x.came"]["message_id"] in [m.message_id for m in server.mails()]
        assert (
            coldmail.lead("b@x.lost")["status"] == "sent"
        )  # it counts as sent until somebody knows
        assert coldmail.lead("b@x.lost")["reason"] == "send_uncertain"
        server.set_rules()
        coldmail.ctl("resolve", listed["a@x.came"]["id"], "--sent")
        coldmail.ctl("resolve", listed["b@x.lost"]["id"], "--not-sent")
        assert coldmail.fast_forward()[0] == 0
        assert collections.Counter(m.to[0] for m in server.mails()) == {
            "a@x.came": 2,
            "b@x.lost": 2,
            "c@take.example": 2,
        }
        assert (
            len(
                {
                    a["sha256"]
                    for a in coldmail.rows(
                        "SELECT sha256 FROM attempts WHERE to_email = 'b@x.lost' AND step = 'intro'"
                        " AND slot = 0"
                    )
                }
            )
            == 1
        )
        coldmail.ctl("resolve", listed["b@x.lost"]["id"], "--sent", status=1)
        oracle.check(coldmail, server.mails())


def test_case_64_a_server_that_closes_after_so_many_mails_gets_each_once(tmp_path):
    for i, rule in enumerate(
        [
            "on mail every 7 do reply 421 4.7.0 Enough then drop",
            "on mail every 7 do drop",
            "on dot every 5 do accept then reply 250 Ok then drop",
            "on quit do rst",
        ]
    ):
        folder = tmp_path / str(i)
        with FakeSmtp(folder / "smtp", rules=[rule]) as server:
            coldmail = Coldmail(folder, mailbox(ALI, server.port, connections=3), campaign())
            coldmail.import_leads(addresses(40))
            assert coldmail.run_until_idle()[0] == 0
            assert sorted(m.to[0] for m in server.mails()) == sorted(addresses(40))
            assert not coldmail.events("mailbox_state"), "an idle close is nobody's fault"
            oracle.check(coldmail, server.mails())


def test_case_66_one_refusal_does_not_send_the_others_again(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp", rules=["on dot to lead7@* do reply 554 Transaction failed"]
    ) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port, connections=4), campaign())
        coldmail.import_leads(addresses(20))
        for _ in range(3):
            coldmail.fast_forward()
        assert sorted(m.to[0] for m in server.mails()) == sorted(
            set(addresses(20)) - {"lead7@take.example"}
        )
        assert coldmail.count("SELECT count(*) FROM attempts WHERE slot = 0") == 20


def test_a_server_that_dies_and_comes_back(tmp_path):
    """What was past its dot is uncertain, the rest waits, and none of it is sent twice."""
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 5"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, connections=6), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(300))
        coldmail.start()
        wait_until(lambda: len(server.mails()) > 50, what="some mails")
        server.kill()
        wait_until(lambda: coldmail.status()["status"] == "unhealthy", what="it is noticed")
        wait_until(lambda: ("in_flight", "") not in coldmail.states(), what="all are back")
        assert coldmail.stop() == 0
        with FakeSmtp(tmp_path / "smtp") as again:
            coldmail.fast_forward()  # the backoff of its mailbox outlives a restart
            oracle.check(coldmail, again.mails())
            uncertain = coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'")
            assert uncertain <= 6 and len(again.mails()) >= 300 - uncertain


def test_case_26_the_first_broken_mailbox_stops_nobody(tmp_path):
    """New leads go out through the other one."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, 1), mailbox(BEA, server.port), campaign(mailboxes=(ALI, BEA))
    ) as coldmail:
        coldmail.import_leads(addresses(30))
        coldmail.start()
        wait_until(lambda: len(server.mails()) == 30, what="30 mails")
        assert {m.sender for m in server.mails()} == {BEA}
        [box] = [m for m in coldmail.status()["mailboxes"] if m["address"] == ALI]
        assert box["state"] == "throttled" and "onnect" in box["why"]
        assert coldmail.status()["status"] == "degraded"
        assert coldmail.stop() == 0


def test_case_23_a_mailbox_in_trouble_is_not_claimed_for(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp", rules=["on connect do reply 421 Not now then drop"]
    ) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, connections=3), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(50))
        coldmail.start()
        wait_until(lambda: coldmail.events("mailbox_state"), what="the mailbox is throttled")
        before = server.summary()["connections"]
        wait_until(lambda: coldmail.states() == {("queued", ""): 50}, what="every lead is back")
        for _ in range(20):
            coldmail.ctl("leads", "hold", "lead0@take.example")
            coldmail.ctl("leads", "release", "lead0@take.example")
        assert server.summary()["connections"] == before <= 3
        assert coldmail.count("SELECT count(*) FROM attempts") == 0
        [why] = [r for r in coldmail.ctl("why") if r["binds"]]
        assert why["reason"] == "mailbox_throttled" and why["until"]
        assert coldmail.stop() == 0
