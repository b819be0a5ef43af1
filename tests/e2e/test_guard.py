"""The damage guard: who writes to addresses that are not there is stopped before a provider does it."""
import oracle
from daemon import ALI, GUARDED, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

NOBODY = "on rcpt to *@gone.example do reply 550 5.1.1 No such user"


def gone(n):
    return addresses(n, "gone.example")


def refused(coldmail):
    return coldmail.count("SELECT count(*) FROM attempts WHERE state = 'refused'")


def test_case_38_bounces_stop_a_mailbox_and_its_campaign(tmp_path):
    """Three of fifty, however good the others were; and nothing goes on by itself."""
    with FakeSmtp(tmp_path / "smtp", rules=[NOBODY]) as server, Coldmail(
        tmp_path, GUARDED, mailbox(ALI, server.port, gap="20ms"), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(20) + gone(10) + addresses(60)[20:])
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "3 of the last 50 mails" in summary
        assert refused(coldmail) == 3
        assert len(coldmail.events("bounces")) == 2, "a mailbox and a campaign are told once each"
        assert len(server.mails()) == 20
        coldmail.start()
        gate = coldmail.ctl("why", ALI)[0]
        assert gate["reason"] == "mailbox_paused" and not gate["until"]
        assert gate["value"].startswith(f"3 of the last 50 mails of {ALI} bounced")
        reasons = {g["reason"]: g["value"] for g in coldmail.ctl("why", "founders")}
        assert "coldmailctl resume campaign founders" in reasons["campaign_paused"]
        # Another process finds the same, and a word of an operator's begins anew.
        coldmail.kill()
        coldmail.start()
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.ctl("resume", "campaign", "founders")
        assert coldmail.stop() == 0
        assert coldmail.run_until_idle()[0] == 75
        assert refused(coldmail) == 6
        oracle.check(coldmail, server.mails())


def test_bounces_are_remembered_over_restarts(tmp_path):
    """Two before and one after are three."""
    with FakeSmtp(tmp_path / "smtp", rules=[NOBODY]) as server:
        coldmail = Coldmail(tmp_path, GUARDED, mailbox(ALI, server.port, gap="1s"), campaign())
        coldmail.import_leads(gone(2))
        assert coldmail.fast_forward()[0] == 0 and not coldmail.events("bounces_pause")
        coldmail.import_leads(gone(20))
        assert coldmail.fast_forward()[0] == 75
        assert refused(coldmail) == 3


def pauses(coldmail):
    return {row["name"] for row in coldmail.rows("SELECT name FROM controls WHERE value LIKE '%bounced%'")}


PAUSED = {f"pause/mailbox/{ALI}", "pause/campaign/founders"}


def test_a_pause_that_the_store_does_not_take_is_stored_when_it_is_back(tmp_path):
    rules = ["on rcpt to *@last.example do delay 1500 then reply 550 5.1.1 No such user", NOBODY]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, "store_timeout = 1s\n", GUARDED, mailbox(ALI, server.port, gap="1ms"), campaign()
    ) as coldmail:
        coldmail.import_leads(gone(2) + ["c@last.example"] + addresses(20))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts", 3)
        with coldmail.database(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            wait_until(lambda: coldmail.events("bounces_pause"), what="the third bounce")
            wait_until(lambda: coldmail.events("store_down"), what="the outage")
            wait_until(lambda: len(coldmail.events("store_down")) and not pauses(coldmail))
        wait_until(lambda: pauses(coldmail) == PAUSED, 20, "the pauses to be stored")
        coldmail.kill()
        coldmail.start()
        assert coldmail.ctl("why", ALI)[0]["reason"] == "mailbox_paused"
        assert not server.mails()


def test_a_pause_that_died_with_the_process_is_made_again(tmp_path):
    """What it leaves is the ledger, and no pause."""
    with FakeSmtp(tmp_path / "smtp", rules=[NOBODY]) as server:
        coldmail = Coldmail(tmp_path, GUARDED, mailbox(ALI, server.port, gap="1ms"), campaign())
        coldmail.import_leads(gone(3) + addresses(20))
        assert coldmail.fast_forward()[0] == 75
        with coldmail.database(write=True) as db:
            db.execute("DELETE FROM controls WHERE name LIKE 'pause/%'")
        assert coldmail.fast_forward()[0] == 75
        assert pauses(coldmail) == PAUSED
        assert refused(coldmail) == 3 and not server.mails()


def test_a_bad_list_is_one_from_however_many_mailboxes(tmp_path):
    """Each mailbox has one bounce; the campaign has three. Another campaign goes on."""
    boxes = [f"box{i}@send.example" for i in range(3)]
    with FakeSmtp(tmp_path / "smtp", rules=[NOBODY]) as server:
        coldmail = Coldmail(
            tmp_path,
            GUARDED,
            *(mailbox(box, server.port, gap="1h") for box in boxes),
            campaign("bad", mailboxes=boxes),
            campaign("good", mailboxes=boxes),
        )
        coldmail.import_leads(gone(9), "bad")
        coldmail.import_leads(addresses(9), "good")
        assert coldmail.fast_forward()[0] == 75
        assert refused(coldmail) == 3 and len(server.mails()) == 9
        assert {e.get("campaign") for e in coldmail.events("bounces_pause")} == {"bad"}


def test_what_is_no_bounce_stops_nobody(tmp_path):
    """A no that is not understood, and one for now, say nothing about the list."""
    rules = [
        "on rcpt to *@gone.example do reply 550 5.7.99 Go away",
        "on rcpt to *@later.example times 9 do reply 451 4.3.0 Later",
    ]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server:
        coldmail = Coldmail(tmp_path, GUARDED, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(gone(2) + addresses(9, "later.example"))
        coldmail.fast_forward()
        assert not coldmail.events("bounces") and not coldmail.events("bounces_pause")


def test_the_percentages_are_the_files(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=[NOBODY]) as server:
        coldmail = Coldmail(
            tmp_path,
            "watch { bounce_warn = 10  bounce_pause = 20 }\n",
            mailbox(ALI, server.port, gap="1s"),
            campaign(),
        )
        coldmail.import_leads(gone(30))
        assert coldmail.fast_forward()[0] == 75
        assert refused(coldmail) == 10
        assert coldmail.events("bounces")[0]["bounces"] == 5
