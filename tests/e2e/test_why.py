"""`why` names what binds: of one campaign the gate that opens last, of all the one that may send first."""
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp


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
