"""`why` names what binds: of one campaign the gate that opens last, of all the one that may send first."""
import datetime
import subprocess

import pytest

from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

# RFC 5321 4.5.3.2: the verb at which a server falls silent -> (what is waited for, the limit, minutes)
SILENCES = {
    "connect": ("a connection to the server", "5min (connect limit)", 5),
    "ehlo": ("a connection to the server", "5min (connect limit)", 5),
    "mail": ("the server's answer to MAIL", "5min (command limit)", 5),
    "rcpt": ("the server's answer to RCPT", "5min (command limit)", 5),
    "data": ("the server's answer to DATA", "2min (data limit)", 2),
    "dot": ("the server's answer to the dot", "10min (dot limit)", 10),
}


def binding(coldmail, *subject):
    bound = [reason for reason in coldmail.ctl("why", *subject) if reason["binds"]]
    assert len(bound) == 1, coldmail.ctl("why", *subject)
    return bound[0]


def test_a_finished_campaign_does_not_hide_the_next_mail(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port),
        mailbox(BEA, server.port, gap="1h"),
        campaign("first", (ALI,)),
        campaign("second", (BEA,)),
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(1, "one.example"), "first")
        coldmail.import_leads(addresses(5, "two.example"), "second")
        coldmail.wait_sent(2)
        reason = binding(coldmail)
        assert (reason["subject"], reason["reason"]) == (f"mailbox {BEA}", "mailbox_gap")
        assert reason["limit"] == "1h" and reason["until"]
        assert binding(coldmail, "first")["reason"] == "step_not_due"


def test_what_a_server_put_off_comes_back_by_itself(tmp_path):
    rules = ["on rcpt do reply 451 4.7.1 later"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(1))
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'held'", 1)
        reasons = {reason["reason"]: reason for reason in coldmail.ctl("why")}
        assert reasons["step_not_due"]["binds"]
        assert reasons["smtp_deferred"]["until"] == reasons["step_not_due"]["until"] is not None


def test_a_held_lead_says_why_in_full(tmp_path):
    rules = ["on rcpt do reply 554 hmm go away"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(1))
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'held'", 1)
        reasons = coldmail.ctl("why", addresses(1)[0])
        assert len(reasons) == 1 and reasons[0]["reason"] == "smtp_unknown"
        assert "hmm go away" in reasons[0]["value"] and reasons[0]["until"] is None


def test_a_campaign_that_was_not_started_binds(tmp_path):
    with Coldmail(tmp_path / "run", mailbox(ALI, 9), campaign(start="manual")) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(1))
        reason = binding(coldmail)
        assert reason["reason"] == "campaign_not_started" and "1 lead waits" in reason["value"]


def test_case_16_leads_of_a_campaign_that_is_gone_are_named(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign("first")
    ) as coldmail:
        coldmail.import_leads(addresses(5), "first")
        coldmail.configure(mailbox(ALI, server.port), campaign("second"))
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "campaign_gone" in summary and server.mails() == []
        coldmail.start()
        for subject in ((), ("first",)):
            reason = binding(coldmail, *subject)
            assert (reason["subject"], reason["reason"]) == ("campaign first", "campaign_gone")
            assert "5 leads" in reason["value"] and reason["until"] is None
        coldmail.ctl("why", "third", status=1)


def test_case_16_leads_without_a_campaign_are_named(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        (tmp_path / "leads.csv").write_text("email\n" + "\n".join(addresses(4)) + "\n")
        coldmail.ctl("leads", "import", str(tmp_path / "leads.csv"))
        reason = binding(coldmail)
        assert reason["reason"] == "no_campaign" and "4 leads" in reason["value"]


@pytest.mark.parametrize("leads", [1, 9])
@pytest.mark.parametrize("verb", SILENCES)
def test_a_silent_server_is_named_with_the_limit_it_has(verb, leads, tmp_path):
    """Asked for everything, the campaign, the mailbox or the lead: what is waited for, and until when."""
    what, limit, minutes = SILENCES[verb]
    with FakeSmtp(tmp_path / "smtp", rules=[f"on {verb} do silence"]) as server, Coldmail(
        tmp_path / "run", "stop_timeout = 200ms\n", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(leads))
        begin = datetime.datetime.now(datetime.timezone.utc)
        coldmail.start()

        wait_until(
            lambda: any(r["value"].endswith(what) and r["binds"] for r in coldmail.ctl("why")),
            what=f"a word about {verb}",
        )
        in_flight = "SELECT email FROM leads WHERE state = 'in_flight' ORDER BY due, rowid LIMIT 1"
        lead = coldmail.rows(in_flight)[0]["email"]
        # A mailbox that could take one more mail has no closed gate.
        for subject in ((), ("founders",), (lead,), *(((ALI,),) if leads > 1 else ())):
            reason = binding(coldmail, *subject)
            assert reason["value"].endswith(f" waits for {what}") and reason["limit"] == limit
            until = datetime.datetime.fromisoformat(reason["until"].replace("Z", "+00:00"))
            assert abs((until - begin).total_seconds() - 60 * minutes) < 10
            assert reason["reason"] == "mailbox_gap"
        shown = coldmail_text(coldmail, "why")
        assert what in shown and limit in shown and "now" not in shown.split(what)[1]
        assert coldmail.stop() == 0


def coldmail_text(coldmail, *command):
    """What a person reads."""
    return subprocess.run(
        [coldmail.ctl_program, "-c", coldmail.conf, *command],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
