"""What a reply says about whom, and what follows, through the daemon: the recipient, the mailbox, its
credential, the content or the moment. The texts themselves are tests/data's (unit mail_classify)."""
import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

MINUTE, DAY = 60_000, 24 * 60 * 60_000

# At which verb which reply: class and reason of the attempt, the lead's state, the mailbox's gate,
# what is suppressed.
BOB = "bob@take.example"
EACH = {
    "mail do reply 550 5.7.60 Client does not have permissions to send as this sender": (
        "auth-failed",
        "sender-not-owned",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "mail do reply 530 5.7.0 Authentication Required": (
        "auth-failed",
        "auth",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "mail do reply 454 4.7.0 Temporary authentication failure": (
        "auth-failed",
        "auth",
        "queued",
        "mailbox_auth",
        None,
    ),
    "mail do reply 550 5.1.1 User unknown": (
        "auth-failed",
        "sender-not-owned",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "mail do reply 450 4.2.1 Peak SMTP relay limit exceeded for customer": (
        "mailbox-throttled",
        "rate",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "mail do reply 554 5.1.8 Sender Address Blocked": (
        "mailbox-blocked",
        "provider-block",
        "queued",
        "mailbox_blocked",
        None,
    ),
    "mail do reply 451 4.3.0 Temporary lookup failure": (
        "server-transient",
        "tempfail",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "rcpt do reply 550 5.1.1 The email account that you tried to reach does not exist": (
        "recipient-permanent",
        "user-unknown",
        "ended",
        None,
        BOB,
    ),
    "rcpt do reply 550 Postfach existiert nicht": (
        "recipient-permanent",
        "user-unknown",
        "ended",
        None,
        BOB,
    ),
    "rcpt do reply 553 5.1.2 We weren't able to find the recipient domain": (
        "recipient-permanent",
        "domain-dead",
        "ended",
        None,
        "*@take.example",
    ),
    "rcpt do reply 552 5.2.2 The recipient's inbox is out of storage space": (
        "recipient-transient",
        "mailbox-full",
        "held",
        None,
        None,
    ),
    "rcpt do reply 450 4.2.1 The user you are trying to contact is receiving mail too quickly": (
        "recipient-transient",
        "recipient-busy",
        "held",
        None,
        None,
    ),
    "rcpt do reply 450 4.7.1 Recipient address rejected: Greylisted": (
        "greylisted",
        "greylist",
        "held",
        None,
        None,
    ),
    "rcpt do reply 554 5.7.1 Relay access denied": (
        "auth-failed",
        "auth",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "rcpt do reply 550 Requested action not taken": ("unknown", "unclassified", "held", None, None),
    "data do reply 451 4.3.0 Mail server temporarily rejected message": (
        "server-transient",
        "tempfail",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "dot do reply 550 5.4.5 Daily user sending limit exceeded": (
        "mailbox-throttled",
        "daily-limit",
        "queued",
        "mailbox_throttled",
        None,
    ),
    "dot do reply 550 5.4.6 Unusual sending activity detected": (
        "mailbox-blocked",
        "provider-block",
        "queued",
        "mailbox_blocked",
        None,
    ),
    "dot do reply 554 5.2.2 mailbox full; STOREDRV.Submission.Exception:QuotaExceededException": (
        "mailbox-blocked",
        "own-mailbox-full",
        "queued",
        "mailbox_blocked",
        None,
    ),
    "dot do reply 552 5.7.0 This message was blocked because its content presents a security issue": (
        "content-rejected",
        "content",
        "queued",
        None,
        None,
    ),
    "dot do reply 554 Transaction failed": ("unknown", "unclassified", "held", None, None),
    "dot do reply 550 5.1.1 <bob@take.example>: user unknown": (
        "recipient-permanent",
        "user-unknown",
        "ended",
        None,
        BOB,
    ),
    "dot do reply 421 4.7.0 Try again later, closing connection. then drop": (
        "mailbox-throttled",
        "rate",
        "queued",
        "mailbox_throttled",
        None,
    ),
}


@pytest.mark.parametrize("rule", EACH)
def test_case_36_37_each_reply_touches_what_it_speaks_of(rule, tmp_path):
    kind, reason, state, gate, suppressed = EACH[rule]
    rule = f"on {rule}".replace(" do ", " times 1 do ", 1)
    # A gap, so that the same lead has no second try at once.
    box = {"gap": "1h"}
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, **box), campaign()
    ) as coldmail:
        coldmail.import_leads([BOB])
        coldmail.start()
        ended = "SELECT count(*) FROM attempts WHERE slot = 0 AND state = 'refused'"
        coldmail.wait_for(ended, 1)
        [send] = coldmail.ctl("sends", "--outcome", "refused")
        assert (send["class"], send["reason"]) == (kind, reason)
        wait_until(lambda: coldmail.events("send"), what="its line in the log")
        line = coldmail.events("send")[0]
        assert (line["class"], line["reason"]) == (kind, reason)
        wait_until(lambda: coldmail.lead(BOB)["state"] == state, what=f"the lead is {state}")
        if state != "queued":
            [why] = [r for r in coldmail.ctl("why", BOB) if BOB in r["subject"]]
            assert f"{kind} ({reason}): {line['code']} " in why["value"]
        reasons = {r["reason"] for r in coldmail.ctl("why", ALI)}
        assert reasons & {"mailbox_throttled", "mailbox_blocked", "mailbox_auth"} == (
            {gate} if gate else set()
        )
        patterns = [r[0] for r in coldmail.rows("SELECT pattern FROM do_not_contact")]
        assert patterns == ([suppressed] if suppressed else [])
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_a_dead_domain_is_left_alone_for_thirty_days(tmp_path):
    """And the addresses there with it, but nobody else."""
    rule = "on rcpt to *@gone.example do reply 550 5.1.2 Domain gone.example does not exist"
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port, gap="1s"), campaign())
        coldmail.import_leads(["a@gone.example", "b@gone.example", *addresses(2)])
        assert coldmail.fast_forward()[0] == 0
        assert coldmail.states() == {
            ("ended", "completed"): 2,
            ("ended", "bounced"): 1,
            ("ended", "suppressed"): 1,
        }
        [row] = coldmail.rows("SELECT pattern, created_at, until FROM do_not_contact")
        assert row["pattern"] == "*@gone.example"
        assert abs(row["until"] - row["created_at"] - 30 * DAY) < MINUTE
        oracle.check(coldmail, server.mails())


def tries(coldmail, address):
    return coldmail.rows(
        "SELECT state, class, sha256, mailbox, at, ended_at FROM attempts WHERE slot = 0 AND"
        " to_email = ? ORDER BY n",
        address,
    )


def test_case_37_51_three_strikes_end_the_sequence_and_not_the_address(tmp_path):
    rule = "on rcpt to full@* do reply 452 4.2.2 The recipient's inbox is full"
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(steps=("intro", "nudge")))
        coldmail.import_leads(["full@take.example", *addresses(1)])
        assert coldmail.fast_forward()[0] == 0
        full = tries(coldmail, "full@take.example")
        assert [t["class"] for t in full] == ["recipient-transient"] * 3
        waits = [round((b["at"] - a["ended_at"]) / DAY, 2) for a, b in zip(full, full[1:])]
        assert waits == [1, 3]
        assert coldmail.states() == {("ended", "completed"): 1, ("ended", "stopped"): 1}
        assert coldmail.lead("full@take.example")["status"] == "failed"
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0
        oracle.check(coldmail, server.mails())


def test_case_55_greylisting_has_a_day_and_then_it_is_a_strike(tmp_path):
    rule = "on rcpt do reply 451 4.7.1 Greylisting in action, please come back later"
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port),
            mailbox(BEA, server.port),
            campaign(mailboxes=(ALI, BEA)),
        )
        coldmail.import_leads([BOB])
        assert coldmail.fast_forward()[0] == 0
        all_tries = tries(coldmail, BOB)
        assert len({(t["sha256"], t["mailbox"]) for t in all_tries}) == 1
        grey = [t for t in all_tries if t["class"] == "greylisted"]
        waits = [round((b["at"] - a["ended_at"]) / MINUTE) for a, b in zip(grey, grey[1:])]
        assert waits[:2] == [5, 15] and set(waits[2:]) == {60} and 20 < len(grey) < 30
        assert [t["class"] for t in all_tries[len(grey) :]] == ["recipient-transient"] * 3
        assert coldmail.states() == {("ended", "stopped"): 1}
        oracle.check(coldmail, server.mails())


def test_case_66_a_step_refused_for_its_content_stops_and_the_others_go_on(tmp_path):
    """Nobody is suppressed; `resume campaign` gives the step another try."""
    rule = "on dot to lead* do reply 554 5.7.1 Spam message rejected"
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port, gap="30ms"),
        campaign(steps=("intro", "nudge"), after="1s"),
    ) as coldmail:
        coldmail.import_leads([BOB])
        coldmail.start()
        coldmail.wait_sent(1)
        server.set_rules(rule)
        coldmail.import_leads(addresses(9))
        wait_until(lambda: coldmail.events("step_stopped"), what="the step stops")
        coldmail.wait_sent(2)  # bob's second step
        refused = "SELECT count(*) FROM attempts WHERE class = 'content-rejected'"
        assert coldmail.count(refused) == 3
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0
        [gate] = [g for g in coldmail.ctl("why") if g["reason"] == "content_rejected"]
        assert gate["binds"] and gate["limit"] == "3"
        assert "3 times, the last: 554 Spam message rejected" in gate["value"]
        assert coldmail.stop() == 0
        assert coldmail.fast_forward()[0] == 75, "stopped over a restart, too"
        assert coldmail.count(refused) == 3
        server.set_rules()
        coldmail.start()
        coldmail.ctl("resume", "campaign", "founders")
        coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'completed'", 10)
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_case_36_three_unknown_refusals_of_three_domains_pause_the_mailbox(tmp_path):
    rule = "on rcpt to odd@* do reply 554 5.9.9 The moon is in the wrong house"
    odd = [f"odd@{name}.example" for name in ("one", "one.two", "two", "three", "four")]
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, gap="30ms"), campaign()
    ) as coldmail:
        coldmail.import_leads([odd[0], odd[2], *addresses(1), odd[1], odd[3], odd[4], BOB])
        coldmail.start()
        wait_until(lambda: coldmail.events("mailbox_stopped"), what="the mailbox is paused")
        wait_until(lambda: coldmail.ctl("why", ALI)[0]["reason"] == "mailbox_paused", what="why")
        assert "The moon is in the wrong house" in str(coldmail.ctl("why", ALI)[0])
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0
        assert coldmail.states()["held", "smtp_unknown"] == 5
        assert coldmail.stop() == 0
        coldmail.start()  # stored
        assert coldmail.ctl("why", ALI)[0]["reason"] == "mailbox_paused"
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.wait_sent(2)
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_the_rows_of_a_user_come_first(tmp_path):
    rows = tmp_path / "rows.tsv"
    rows.write_text(
        "# ours\n=house\thouse|home\n"
        "1\trcpt\t5..\twrong {house}\trecipient-transient\tmoon\n"
        "2\tany\t5..\t^554 5\\.9\\.[0-9] .*star\tgreylisted\tstars\n"
    )
    rules = [
        "on rcpt to moon@* do reply 554 5.9.9 The moon is in the wrong house",
        "on rcpt to star@* do reply 554 5.9.8 No star is seen",
    ]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", f'reply_classes = "{rows}"\n', mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(["moon@take.example", "star@take.example"])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'smtp_deferred'", 2)
        said = {s["to"]: (s["class"], s["reason"]) for s in coldmail.ctl("sends")}
        assert said == {
            "moon@take.example": ("recipient-transient", "moon"),
            "star@take.example": ("greylisted", "stars"),
        }
        rows.write_text("1\trcpt\t5..\tno star\tgone\tstars\n1\tnowhere\t5\n")
        done = coldmail.ctl("reload", status=None)
        assert done.returncode == 78
        assert (
            f"{rows}:1: class 'gone': expected one of recipient-permanent"
            in done.stdout + done.stderr
        )
        assert f"{rows}:2: 3 fields, expected 6" in done.stdout + done.stderr
        assert coldmail.stop() == 0


def test_a_message_id_that_the_server_gave_is_kept(tmp_path):
    rule = 'on dot do accept then reply 250 "2.0.0 OK <AM0PR02.7@p.example> queued as A1"'
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads([BOB])
        assert coldmail.run_until_idle()[0] == 0
        [send] = coldmail.ctl("sends")
        assert send["server_message_id"] == "<AM0PR02.7@p.example>" and send["queue_id"] == "A1"
        assert send["class"] == "sent"
