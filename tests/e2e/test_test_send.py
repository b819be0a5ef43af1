"""`coldmailctl test-send`: one real mail, marked, by the rules of any other, in no campaign's figures."""
import json

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

ME = "me@own.example"


def send(coldmail, status=0, to=ME):
    return coldmail.ctl("test-send", "founders", "--to", to, status=status)


def refused(coldmail, to=ME):
    done = coldmail.ctl("test-send", "founders", "--to", to, status=None)
    assert done.returncode == 1, done
    return done.stderr


def test_a_test_is_a_real_mail_that_nobody_else_gets(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads([{"email": "bob@take.example", "first_name": "Bob"}])
        coldmail.start()
        answer = send(coldmail)
        [mail] = server.mails()
        assert mail.sender == ALI and mail.to == [ME]
        assert mail.message_id == answer["message_id"]
        text = server.data(mail).decode()
        assert "Subject: [Test] intro for Bob" in text and "Hi Bob" in text
        assert "A test of the campaign founders" in text
        assert "1 Example Street, Springfield" in text
        assert (answer["outcome"], answer["code"], answer["mailbox"]) == ("sent", 250, ALI)
        assert len(coldmail.events("test_send")) == 1
        # No figure of the campaign knows of it, and the lead still waits.
        assert coldmail.count("SELECT count(*) FROM attempts") == 0
        assert coldmail.states() == {("queued", ""): 1}
        assert coldmail.stop() == 0
        oracle.check(coldmail, [])


def test_a_dry_run_sends_nothing(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        answer = coldmail.ctl("--dry-run", "test-send", "founders", "--to", ME)
        assert answer["outcome"] == "" and answer["subject"].startswith("[Test]")
        assert coldmail.ctl("mailboxes")[0]["sent_24h"] == 0
        assert server.summary()["connections"] == 0


def test_a_test_uses_up_the_day_and_a_restart_knows(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, daily_limit=2), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(5))
        coldmail.start()
        send(coldmail)
        coldmail.kill()
        coldmail.start()
        send(coldmail)
        assert "mailbox_daily_limit" in refused(coldmail) and len(server.mails()) == 2
        assert coldmail.ctl("mailboxes")[0]["sent_24h"] == 2
        coldmail.ctl("start", "founders")
        assert coldmail.stop() == 0
        coldmail.run_until_idle()
        assert len(server.mails()) == 2


def test_a_test_waits_for_no_gap_but_says_so(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="1h"), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        send(coldmail)
        assert "mailbox_gap" in refused(coldmail) and "opens" in refused(coldmail)


def test_a_test_goes_to_nobody_who_is_suppressed(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        coldmail.ctl("suppress", "add", ME)
        answer = send(coldmail, status=1)
        assert answer["outcome"] == "not_sent" and "suppressed" in answer["reply"]
        assert not server.mails()
        [box] = coldmail.ctl("mailboxes")
        assert box["state"] == "ready" and box["sent_24h"] == 0


def test_what_a_server_says_to_a_test_is_printed_and_believed(tmp_path):
    rules = ["on mail times 1 do reply 421 4.7.0 Too fast"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), mailbox(BEA, 1), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        answer = send(coldmail, status=1)
        assert answer["code"] == 421 and "Too fast" in answer["reply"]
        assert "mailbox_throttled" in refused(coldmail) and not server.mails()
        coldmail.ctl("resume", "mailbox", ALI)
        assert send(coldmail)["outcome"] == "sent"
        server.set_rules("on rcpt do reply 550 5.1.1 No such user")
        assert send(coldmail, status=1)["code"] == 550
        assert coldmail.ctl("mailboxes")[0]["bounces"] == 0


def test_a_server_that_is_not_there_fails_a_test(tmp_path):
    with Coldmail(tmp_path, mailbox(ALI, 1), campaign(start="manual")) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        answer = send(coldmail, status=1)
        assert answer["outcome"] == "not_sent" and "onnect" in answer["reply"]
        assert coldmail.ctl("mailboxes")[0]["state"] == "throttled"


def test_a_test_that_cannot_be_is_refused_with_the_reason(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        assert coldmail.ctl("test-send", "founders", "--to", ME, status=None).returncode == 69
        coldmail.start()
        assert coldmail.ctl("test-send", "founders", status=None).returncode == 64
        assert coldmail.ctl("test-send", "founders", "--to", "me", status=None).returncode == 64
        assert "no such campaign" in coldmail.ctl(
            "test-send", "other", "--to", ME, status=None
        ).stderr
        coldmail.ctl("pause", "all")
        assert "paused" in refused(coldmail)
        coldmail.ctl("resume", "all")
        coldmail.ctl("pause", "mailbox", ALI)
        assert "mailbox_paused" in refused(coldmail)
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.ctl("leads", "stop", "lead0@take.example")
        assert "import leads" in refused(coldmail)
        assert not server.mails()


def test_a_stop_does_not_wait_for_a_test(tmp_path):
    """What was before its dot does not leave."""
    with FakeSmtp(tmp_path / "smtp", rules=["on rcpt do silence"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        body = json.dumps({"campaign": "founders", "to": ME})
        control = coldmail.control()
        control.request("POST", "/v1/test-send", body, {"Content-Type": "application/json"})
        wait_until(lambda: server.summary()["connections"], what="the test is on its way")
        assert coldmail.stop() == 0
        assert not server.mails()
