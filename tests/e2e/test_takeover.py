"""Taking over a store that was put back from a copy, moved or cloned: what its copy may have mailed is
uncertain, everything else goes on."""
import collections
import email
import os
import shutil
import signal
import subprocess

import pytest

from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox

LATER = addresses(3, "later.example")


def make(folder, server, *sections, **keys):
    sections = sections or (campaign(),)
    return Coldmail(folder, mailbox(ALI, server.port), *sections, **keys)


def put_back(coldmail, copy):
    shutil.copy(copy, coldmail.folder / "new.db")
    (coldmail.folder / "new.db").replace(coldmail.store)


def backup(coldmail):
    copy = coldmail.folder / "copy.db"
    coldmail.ctl("backup", str(copy))
    return copy


def uncertain(coldmail):
    return {(a["to"], a["step"]): a for a in coldmail.ctl("sends", "--outcome", "uncertain")}


def subject(server, mail):
    return email.message_from_bytes(server.data(mail))["Subject"]


def check(coldmail, server):
    """Nobody was mailed a step twice, and the ledger agrees with itself."""
    times = collections.Counter((m.to[0], subject(server, m)) for m in server.mails())
    assert not [mail for mail, n in times.items() if n > 1]
    assert coldmail.ctl("audit")["findings"] == []


@pytest.fixture
def restored(tmp_path, server):
    """Three were mailed, a copy was made, three more were mailed, the copy was put back."""
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.run_until_idle()
        coldmail.ctl("pause", "mailbox", ALI)
        coldmail.import_leads(LATER)
        copy = backup(coldmail)
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.run_until_idle()
        assert len(server.mails()) == 6
        put_back(coldmail, copy)
        coldmail.ctl("resume", "mailbox", ALI)
        yield coldmail


@pytest.mark.parametrize("is_running", [True, False])
def test_case_15_what_the_copy_may_have_mailed_is_uncertain(restored, server, is_running):
    if is_running:
        restored.start()
    answer = restored.ctl("takeover")
    assert (answer["leads"], answer["steps"]) == (3, 3)
    assert "an older copy" in answer["restored"] and answer["since"]
    doubts = uncertain(restored)
    assert set(doubts) == {(address, "intro") for address in LATER}
    sent = {m.to[0]: m.message_id for m in server.mails()}
    assert all(a["message_id"] == sent[to] for (to, _), a in doubts.items())
    assert all(a["mailbox"] == ALI for a in doubts.values())
    restored.import_leads(["new@take.example"])
    if is_running:
        restored.wait_sent(4)
        assert restored.stop() == 0
    restored.run_until_idle()
    assert len(server.mails()) == 7
    check(restored, server)
    for attempt in doubts.values():
        restored.ctl("resolve", attempt["id"], "--sent")
    assert restored.run_until_idle()[0] == 0
    assert len(server.mails()) == 7
    check(restored, server)


def test_what_was_not_mailed_elsewhere_is_mailed_when_that_is_said(restored, server):
    restored.ctl("takeover")
    doubts = uncertain(restored)
    attempt = doubts[LATER[0], "intro"]
    restored.ctl("resolve", attempt["id"], "--not-sent")
    restored.run_until_idle()
    again = [m for m in server.mails() if m.to == [LATER[0]]]
    assert len(again) == 2 and again[0].message_id != again[1].message_id
    assert restored.ctl("audit")["findings"] == []


def test_a_dry_run_counts_and_changes_nothing(restored, server):
    before = restored.rows("SELECT * FROM attempts"), restored.rows("SELECT * FROM leads")
    answer = restored.ctl("--dry-run", "takeover")
    assert (answer["leads"], answer["steps"]) == (3, 3)
    assert (restored.rows("SELECT * FROM attempts"), restored.rows("SELECT * FROM leads")) == before
    assert restored.run_until_idle()[0] == 75
    assert restored.ctl("takeover")["steps"] == 3


def test_taken_over_once_there_is_nothing_to_take_over(restored, server):
    restored.ctl("takeover")
    again = restored.ctl("takeover", status=None)
    assert again.returncode == 1 and "nothing to take over" in again.stderr
    assert restored.ctl("takeover", "--moved", status=None).returncode == 1


def test_what_is_not_moved_only_cannot_be_said_to_be(restored, server):
    for dry_run in (["--dry-run"], []):
        refused = restored.ctl(*dry_run, "takeover", "--moved", status=None)
        assert refused.returncode == 1 and "an older copy" in refused.stderr
    assert restored.run_until_idle()[0] == 75
    assert len(server.mails()) == 6


def test_a_store_that_was_only_moved_goes_on(tmp_path, server):
    with make(tmp_path / "old", server) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.run_until_idle()
        coldmail.ctl("pause", "mailbox", ALI)
        coldmail.import_leads(LATER)
    (tmp_path / "old").rename(tmp_path / "new")
    with make(tmp_path / "new", server) as moved:
        moved.ctl("resume", "mailbox", ALI)
        assert moved.run_until_idle()[0] == 75
        assert moved.ctl("--dry-run", "takeover")["steps"] == 3
        assert moved.ctl("takeover", "--moved")["steps"] == 0
        assert moved.run_until_idle()[0] == 0
        assert len(server.mails()) == 6
        check(moved, server)


def test_steps_that_would_have_come_due_since_are_in_doubt_and_no_others(tmp_path, server):
    steps = ("intro", "nudge", "last")
    sections = [
        campaign("quick", steps=steps, after="1ms"),
        campaign("slow", steps=steps, after="3d"),
    ]
    with make(tmp_path / "run", server, *sections) as coldmail:
        coldmail.import_leads(["done@slow.example"], "slow")
        coldmail.start()
        coldmail.wait_sent(1)
        coldmail.stop()
        coldmail.ctl("pause", "all")
        coldmail.import_leads(["quick@take.example"], "quick")
        coldmail.import_leads(["slow@take.example"], "slow")
        copy = backup(coldmail)
        coldmail.ctl("resume", "all")
        coldmail.run_until_idle()
        assert len(server.mails()) == 5
        put_back(coldmail, copy)
        coldmail.ctl("resume", "all")
        assert coldmail.ctl("takeover")["steps"] == 4
        assert set(uncertain(coldmail)) == {
            *(("quick@take.example", step) for step in steps),
            ("slow@take.example", "intro"),
        }
        sent = {m.message_id for m in server.mails()}
        assert all(a["message_id"] in sent for a in uncertain(coldmail).values())
        for attempt in uncertain(coldmail).values():
            coldmail.ctl("resolve", attempt["id"], "--sent")
        coldmail.fast_forward()
        check(coldmail, server)
        assert len(server.mails()) == 9  # the follow-ups of the slow ones, in their threads
        thread = [subject(server, m) for m in server.mails() if m.to == ["slow@take.example"]]
        assert thread[1] == "Re: " + thread[0]


def test_a_try_that_was_open_in_the_copy_is_in_doubt(tmp_path, server):
    """Recovery would call it released: here nobody can know."""
    with make(tmp_path / "run", server, test=True) as coldmail:
        coldmail.import_leads(addresses(3))
        environment = {**os.environ, "COLDMAIL_FAILPOINT": "reserve.after"}
        coldmail.spawn("--until-idle", environment=environment)
        assert coldmail.wait() == -signal.SIGKILL
        copy = backup(coldmail)
        coldmail.run_until_idle()
        assert len(server.mails()) == 3
        put_back(coldmail, copy)
        coldmail.start()
        assert not coldmail.count("SELECT count(*) FROM attempts WHERE state = 'released'")
        assert coldmail.ctl("--dry-run", "takeover")["steps"] == coldmail.ctl("takeover")["steps"]
        coldmail.stop()
        coldmail.run_until_idle()
        assert len(server.mails()) == 3
        check(coldmail, server)


def test_leads_that_nobody_would_have_mailed_stay_as_they_are(restored, server):
    with restored.database(write=True) as db:
        set_lead = "UPDATE leads SET state = ?, reason = ?, until = ?, due = ? WHERE email = ?"
        never, now = 2**63 - 1, 1
        db.execute(set_lead, ("held", "operator", never, now, LATER[0]))
        db.execute(set_lead, ("held", "smtp_deferred", now, now, LATER[1]))
        db.execute(set_lead, ("queued", "", never, 2**62, LATER[2]))
    assert restored.ctl("takeover")["steps"] == 1
    assert set(uncertain(restored)) == {(LATER[1], "intro")}
    assert restored.lead(LATER[0])["reason"] == "operator"
    assert restored.lead(LATER[1])["reason"] == "send_uncertain"
    assert restored.lead(LATER[2])["state"] == "queued"


def test_of_several_mailboxes_nobody_can_know_which(tmp_path, server):
    boxes = mailbox(BEA, server.port)
    with make(tmp_path / "run", server, boxes, campaign(mailboxes=(ALI, BEA))) as coldmail:
        coldmail.import_leads(["first@take.example"])
        coldmail.run_until_idle()
        coldmail.ctl("pause", "all")
        coldmail.import_leads(LATER)
        (coldmail.folder / "store.db.seal").unlink()
        assert coldmail.ctl("takeover")["steps"] == 3
        for attempt in uncertain(coldmail).values():
            assert (attempt["mailbox"], attempt["message_id"]) == ("", "")
            coldmail.ctl("resolve", attempt["id"], "--not-sent")
        coldmail.ctl("resume", "all")
        assert coldmail.run_until_idle()[0] == 0
        assert len(server.mails()) == 4
        check(coldmail, server)


def test_leads_of_a_campaign_that_is_not_configured_are_in_doubt_by_name(restored, server):
    restored.configure(mailbox(ALI, server.port), campaign("other"))
    assert restored.ctl("takeover")["steps"] == 3
    restored.configure(mailbox(ALI, server.port), campaign())
    restored.run_until_idle()
    assert len(server.mails()) == 6
    check(restored, server)


def test_many_are_taken_over_in_pages(tmp_path, server):
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(["first@take.example"])
        coldmail.run_until_idle()
        coldmail.ctl("pause", "all")
        coldmail.import_leads(addresses(1000))
        (coldmail.folder / "store.db.seal").unlink()
        assert coldmail.ctl("takeover")["steps"] == 1000
        coldmail.ctl("resume", "all")
        coldmail.run_until_idle()
        assert len(server.mails()) == 1
        check(coldmail, server)


def test_a_takeover_asks_first_and_says_what_to_do_next(restored, server):
    words = [restored.ctl_program, "-c", restored.conf, "takeover"]
    asked = subprocess.run(words, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert asked.returncode == 64 and "--yes was expected" in asked.stderr
    assert "3 steps of 3 leads may have been mailed elsewhere" in asked.stdout
    done = subprocess.run([*words, "--yes"], text=True, capture_output=True)
    assert done.returncode == 0
    assert "3 steps are uncertain" in done.stdout and "resolve ID --sent" in done.stdout
