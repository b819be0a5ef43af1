"""A campaign from a file to the mail server and its end: what arrives, from whom, in which thread,
how often, and that the ledger and the leads tell the same."""
import collections
import email
import email.policy
import email.utils

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

STEPS = ("intro", "nudge", "last")


def parsed(server, mail):
    return email.message_from_bytes(server.data(mail), policy=email.policy.default)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(server, coldmail): 30 leads, three steps weeks apart, two mailboxes; all of it is over."""
    folder = tmp_path_factory.mktemp("finished")
    with FakeSmtp(
        folder / "smtp", rules=["on rcpt to refused* do reply 550 5.1.1 No such user here"]
    ) as server:
        coldmail = Coldmail(
            folder,
            mailbox(ALI, server.port, gap="1min-9min"),
            mailbox(BEA, server.port, gap="2min"),
            campaign(mailboxes=(ALI, BEA), steps=STEPS, after="3d"),
        )
        coldmail.import_leads(
            [
                {"email": address, "first_name": "Grace"}
                for address in [*addresses(28), "refused1@x.example", "refused2@x.example"]
            ]
        )
        coldmail.status, coldmail.summary = coldmail.fast_forward()
        yield server, coldmail


def test_case_06_every_step_goes_out_once_and_in_order(finished):
    server, coldmail = finished
    assert coldmail.status == 0
    assert "84 sent" not in coldmail.summary and coldmail.summary.count("28 sent") == len(STEPS)
    by_lead = collections.defaultdict(list)
    for mail in server.mails():
        by_lead[mail.to[0]].append(parsed(server, mail)["Subject"])
    assert by_lead == {
        address: ["intro for Grace", "Re: intro for Grace", "last for Grace"]
        for address in addresses(28)
    }
    assert {m.message_id for m in server.mails()} == {
        r["message_id"]
        for r in coldmail.rows("SELECT message_id FROM emails WHERE outcome = 'sent'")
    }


def test_case_11_the_log_the_ledger_and_the_leads_agree(finished):
    server, coldmail = finished
    oracle.check(coldmail, server.mails())
    log = [e for e in coldmail.events("send") if e["outcome"] == "sent"]
    assert sorted(e["message_id"] for e in log) == sorted(m.message_id for m in server.mails())
    assert coldmail.states() == {("ended", "completed"): 28, ("ended", "bounced"): 2}
    assert {
        r["status"]: r["n"]
        for r in coldmail.rows("SELECT status, count(*) AS n FROM leads GROUP BY 1")
    } == {"sent": 28, "invalid": 2}
    assert {r[0] for r in coldmail.rows("SELECT status FROM emails WHERE outcome = 'sent'")} == {
        "sent"
    }


@pytest.mark.parametrize("verb, outcome", [("rcpt", "released"), ("dot", "uncertain")])
def test_case_11_an_attempt_that_a_kill_left_open_has_its_closing_line_too(verb, outcome, tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=[f"on {verb} times 1 do silence"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        slots = "SELECT count(*) FROM attempts WHERE state = 'transmitting'"
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'reserved'", 1)
        coldmail.wait_for(slots, verb == "dot")
        coldmail.kill()
        server.set_rules()  # the kill may have come before the server was asked
        coldmail.run_until_idle()
        (first, *_) = coldmail.events("send")
        (attempt,) = [a for a in coldmail.ctl("sends") if a["attempt"] == 1]
        assert first["outcome"] == attempt["outcome"] == outcome
        known = {"lead", "campaign", "step", "attempt", "mailbox", "to", "code", "reply", "message_id"}
        assert {key: first[key] for key in known} == {key: attempt[key] for key in known}
        assert "delays" not in first, "which died with the process"
        oracle.check(coldmail, server.mails())


def test_case_14_a_lead_hears_from_one_sender_and_both_write(finished):
    server, _ = finished
    senders = collections.defaultdict(set)
    for mail in server.mails():
        senders[mail.to[0]].add(mail.sender)
        assert parsed(server, mail)["From"].addresses[0].addr_spec == mail.sender
    assert all(len(s) == 1 for s in senders.values())
    assert {s for one in senders.values() for s in one} == {ALI, BEA}


def test_case_27_a_thread_is_a_thread(finished):
    server, _ = finished
    thread = collections.defaultdict(list)
    for mail in server.mails():
        thread[mail.to[0]].append(parsed(server, mail))
    for intro, nudge, last in thread.values():
        assert nudge["In-Reply-To"] == nudge["References"] == intro["Message-ID"]
        assert intro["In-Reply-To"] is None and last["In-Reply-To"] is None
        assert nudge["Subject"] == f"Re: {intro['Subject']}"
        dates = [email.utils.parsedate_to_datetime(m["Date"]) for m in (intro, nudge, last)]
        assert (dates[1] - dates[0]).total_seconds() >= 3 * 86400 - 1
        assert (dates[2] - dates[1]).total_seconds() >= 3 * 86400 - 1


def test_every_mail_says_who_writes_and_how_to_be_left_alone(finished):
    server, _ = finished
    for mail in server.mails():
        message = parsed(server, mail)
        text = message.get_content()
        assert "Not relevant? Tell me" in text and "Example Labs" in text
        assert "1 Example Street, Springfield" in text
        assert message["To"].addresses[0].addr_spec == mail.to[0] and len(mail.to) == 1
        assert message["MIME-Version"] == "1.0" and message.get_content_type() == "text/plain"
        assert b"\r\n" in server.data(mail) and b"\n\n" not in server.data(mail)


def test_references_keep_the_whole_chain(tmp_path):
    """Four steps, each answering the one before."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path)
        for step in ("a", "b", "c"):
            coldmail.template(step, f"Hi, this is {step}.\n")
        coldmail.configure(
            mailbox(ALI, server.port), campaign(steps=("intro", "a", "b", "c"), after="1d")
        )
        coldmail.import_leads(addresses(1))
        assert coldmail.fast_forward()[0] == 0
        ids = [m.message_id for m in server.mails()]
        chain = [parsed(server, m)["References"] for m in server.mails()]
        assert [c and c.split() for c in chain] == [None, ids[:1], ids[:2], ids[:3]]


def test_preview_is_what_goes(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(start="manual"))
        coldmail.import_leads([{"email": "ada@take.example", "first_name": "Ada"}])
        shown = email.message_from_string(
            coldmail.ctl("preview", "founders")["bytes"], policy=email.policy.default
        )
        coldmail.ctl("start", "founders")
        coldmail.run_until_idle()
        [mail] = server.mails()
        came = parsed(server, mail)
        assert came.get_content() == shown.get_content()
        assert [came[h] for h in ("Subject", "To", "From", "Message-ID")] == [
            shown[h] for h in ("Subject", "To", "From", "Message-ID")
        ]


def test_case_16_start_manual_waits_says_why_and_starts(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(start="manual"))
        coldmail.import_leads(addresses(3))
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "campaign_not_started" in summary and not server.mails()
        with coldmail:
            coldmail.start()
            [why] = [r for r in coldmail.ctl("why") if r["binds"]]
            assert why["reason"] == "campaign_not_started" and why["until"] is None
            coldmail.ctl("start", "founders")
            coldmail.wait_sent(3)
            assert coldmail.stop() == 0
        assert coldmail.run_until_idle()[0] == 0


def test_until_idle_ends_when_only_later_steps_are_left(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(steps=STEPS, after="2h"))
        coldmail.import_leads(addresses(3))
        assert coldmail.run_until_idle()[0] == 0
        assert len(server.mails()) == 3
        assert coldmail.states() == {("queued", ""): 3}


def test_fast_forward_is_for_loopback_only(tmp_path):
    coldmail = Coldmail(tmp_path, mailbox(ALI, 25).replace("127.0.0.1", "192.0.2.1"), campaign())
    coldmail.spawn("--until-idle", "--fast-forward")
    assert coldmail.wait() == 64 and "loopback" in coldmail.tail()
    assert not coldmail.store.exists()


def test_fast_forward_stays_on_loopback_after_a_reload(tmp_path):
    real = mailbox(BEA).replace("127.0.0.1:0", "192.0.2.1:25")
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do silence"]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.spawn("--until-idle", "--fast-forward")
        wait_until(lambda: coldmail.events("ready") and coldmail.socket.exists(), what="it works")
        coldmail.configure(mailbox(ALI, server.port), real, campaign())
        refused = coldmail.ctl("reload", status=None)
        assert refused.returncode == 78 and "192.0.2.1" in refused.stderr + refused.stdout
        assert len(coldmail.status()["mailboxes"]) == 1


def test_case_60_a_configuration_without_a_campaign_runs_and_says_so(tmp_path):
    with Coldmail(tmp_path) as coldmail:
        coldmail.start()
        assert [r["reason"] for r in coldmail.ctl("why")] == ["no_campaign"]
        assert coldmail.status()["status"] == "healthy"
        assert coldmail.stop() == 0


def test_case_21_a_stopped_campaign_starves_nobody(tmp_path):
    """One campaign waits for its start with many leads, one is paused, one goes."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port),
            campaign("waits", start="manual"),
            campaign("paused"),
            campaign("goes"),
        )
        coldmail.import_leads(addresses(300, "a.example"), "waits")
        coldmail.import_leads(addresses(300, "b.example"), "paused")
        coldmail.import_leads(addresses(20, "c.example"), "goes")
        coldmail.ctl("pause", "campaign", "paused")
        assert coldmail.run_until_idle()[0] == 75
        assert collections.Counter(m.to[0].split("@")[1] for m in server.mails()) == {
            "c.example": 20
        }


def test_case_21_campaigns_take_turns(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port, gap="10min", daily_limit=1000),
            campaign("big"),
            campaign("small"),
        )
        coldmail.import_leads(addresses(100, "big.example"), "big")
        coldmail.import_leads(addresses(10, "small.example"), "small")
        assert coldmail.fast_forward()[0] == 0
        order = [m.to[0].split("@")[1] for m in server.mails()]
        assert order[:24].count("small.example") >= 9


def test_case_61_a_first_name_is_used_only_if_it_looks_like_one(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(
            [
                {"email": f"n{i}@take.example", "first_name": name}
                for i, name in enumerate(["GRACE", "info@take.example", "n/a", "x9#", "Jean Luc"])
            ]
        )
        coldmail.run_until_idle()
        said = {m.to[0]: parsed(server, m)["Subject"] for m in server.mails()}
        assert said == {
            "n0@take.example": "intro for Grace",
            "n1@take.example": "intro for you",
            "n2@take.example": "intro for you",
            "n3@take.example": "intro for you",
            "n4@take.example": "intro for Jean Luc",
        }


def test_case_61_nobody_writes_to_oneself(tmp_path):
    """A mailbox of ours among the leads is a mistake of the list."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port), mailbox(BEA, server.port), campaign()
        )
        coldmail.import_leads([ALI, BEA, "carl@take.example"])
        assert coldmail.run_until_idle()[0] == 75
        assert [m.to[0] for m in server.mails()] == ["carl@take.example"]
        assert coldmail.states() == {("held", "bad_record"): 2, ("ended", "completed"): 1}
        assert "mailbox" in coldmail.lead(ALI)["error_message"]


def test_case_27_a_follow_up_whose_thread_is_unknown_is_held_and_counted(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port), campaign(steps=("intro", "nudge"), after="2h")
        )
        coldmail.import_leads(addresses(3))
        coldmail.run_until_idle()
        with coldmail.database(write=True) as db:
            db.execute("UPDATE emails SET message_id = NULL WHERE to_email = 'lead1@take.example'")
        assert coldmail.fast_forward()[0] == 75
        assert len(server.mails()) == 5
        assert coldmail.states() == {("held", "thread_unknown"): 1, ("ended", "completed"): 2}


def test_case_62_a_draft_of_another_renderer_goes_out_all_the_same(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on rcpt times 3 do reply 450 4.2.1 Later"]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(3))
        coldmail.spawn()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 3)
        coldmail.stop()
        (ours,) = {r["renderer"] for r in coldmail.rows("SELECT renderer FROM emails")}
        with coldmail.database(write=True) as db:
            db.execute("UPDATE emails SET renderer = renderer - 1")
        assert coldmail.fast_forward()[0] == 0
        assert len(server.mails()) == 3
        assert {
            r["renderer"] for r in coldmail.rows("SELECT renderer FROM attempts WHERE slot = 0")
        } == {ours}
        oracle.check(coldmail, server.mails())


def test_case_57_a_word_that_is_misspelt_is_refused(tmp_path):
    coldmail = Coldmail(tmp_path, mailbox(ALI, 1), campaign())
    for command in (
        ("leads", "list", "--state", "quued"),
        ("leads", "list", "--reason", "mising_field"),
        ("sends", "--outcome", "snet"),
        ("leads", "stop", "a@take.example", "--because", "repleid"),
    ):
        assert coldmail.ctl(*command, status=None).returncode == 64, command
