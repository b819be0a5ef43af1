"""Whose lead, whose attempt: an operator, a second campaign or a damaged row in the middle of a send
makes nobody mailed twice, loses no outcome and starves nobody."""
import signal
import time

from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

LEAD = "x@take.example"
SLOTS = "SELECT count(*) FROM attempts WHERE slot = 1"
OPEN = "SELECT count(*) FROM attempts WHERE state = 'reserved'"


def test_case_07_hold_and_release_before_a_retry_make_one_mail(tmp_path):
    rules = ["on rcpt do reply 451 4.7.1 greylisted"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, connections=3), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads([LEAD])
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        coldmail.stop()
        server.set_rules(
            "on connect do delay 700",
            "on rcpt every 2 do reply 451 4.7.1 slow down",
            "on dot times 1 do delay 1000",
        )
        coldmail.start()
        coldmail.ctl("leads", "release", LEAD)
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'in_flight'", 1)
        coldmail.ctl("leads", "hold", LEAD)
        coldmail.ctl("leads", "release", LEAD)
        time.sleep(2.5)
        if coldmail.count("SELECT count(*) FROM leads WHERE state <> 'ended'"):
            coldmail.ctl("leads", "release", LEAD, status=None)
            time.sleep(1)
        assert len(server.mails()) <= 1
        assert not coldmail.events("outcome_refused")
        assert coldmail.ctl("audit")["findings"] == []


def test_an_outcome_survives_an_operator_at_the_dot(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 1000"]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, connections=3), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads([LEAD])
        coldmail.wait_for(SLOTS, 1)
        coldmail.ctl("leads", "hold", LEAD)
        refused = coldmail.ctl("leads", "release", LEAD, status=None)
        assert refused.returncode == 1 and "under way" in refused.stderr
        said = coldmail.ctl("suppress", "add", LEAD)
        assert len(said["in_transmission"]) == 1
        coldmail.wait_sent(1)
        assert len(server.mails()) == 1
        assert coldmail.count("SELECT count(*) FROM emails WHERE outcome = 'sent'") == 1


def test_one_person_one_campaign_also_at_the_dot(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do delay 1000"]) as server, Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port),
        mailbox(BEA, server.port),
        campaign("a", (ALI,)),
        campaign("b", (BEA,)),
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads([LEAD], "a")
        coldmail.wait_for(SLOTS, 1)
        coldmail.ctl("pause", "campaign", "a")
        coldmail.ctl("leads", "hold", LEAD)
        coldmail.import_leads([LEAD], "b")
        coldmail.wait_for(OPEN, 0)
        coldmail.import_leads([LEAD], "b")
        coldmail.ctl("leads", "release", LEAD)
        time.sleep(0.5)
        assert [mail.sender for mail in server.mails()] == [ALI]


def test_maintenance_sends_nothing(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.spawn("--maintenance")
        wait_until(coldmail.socket.exists, what="the control socket")
        coldmail.ctl("leads", "list")  # the store is open
        coldmail.process.send_signal(signal.SIGHUP)
        wait_until(lambda: coldmail.events("config_reload"), what="the reload")
        time.sleep(0.3)
        assert not server.mails()
        assert coldmail.states() == {("queued", ""): 3}


def test_case_01_an_attempt_that_cannot_be_read_holds_one_lead(tmp_path):
    rules = ["on rcpt to first@* do reply 451 4.7.1 later"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(["first@take.example"])
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        coldmail.stop()
        with coldmail.database(write=True) as db:
            db.execute("UPDATE attempts SET state = '???' WHERE slot = 0")
            db.execute("UPDATE leads SET until = 1")
        coldmail.start()
        coldmail.import_leads(addresses(5))
        coldmail.wait_sent(5)
        assert len(coldmail.events("reserve_refused")) <= 1
        assert coldmail.states()[("held", "bad_record")] == 1
        assert len(server.mails()) == 5


def test_case_68_a_server_silent_at_the_dot_costs_no_other_mailbox_its_moment(tmp_path):
    rules = [f"on dot from {ALI} do silence"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port),
        mailbox(BEA, server.port, gap="200ms"),
        campaign("a", (ALI,)),
        campaign("b", (BEA,)),
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(["silent@take.example"], "a")
        coldmail.wait_for(SLOTS, 1)
        coldmail.import_leads(addresses(10), "b")
        coldmail.wait_sent(10, seconds=8)  # the gap asks for 2 s
