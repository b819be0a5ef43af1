"""A person is forgotten: nothing that says who it was is left in any byte of the store, it is written to by
nobody again, and the rest of the ledger stands as it did."""
import collections
import random
import re

import oracle
import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from test_ctl import run
from unsubscribe import person_of, token_of, with_page

ADA = {
    "email": "ada.unmistakable@take.example",
    "first_name": "Adalovelacia",
    "company": "Engines Unmistakable",
    "nickname": "Countessina",
}
TRACES = [b"ada.unmistakable", b"adalovelacia", b"unmistakable", b"countessina"]


def found(coldmail):
    """Which of ADA's traces are in any file of the store."""
    files = list(coldmail.folder.glob("store.db*"))
    assert coldmail.store in files
    data = b"".join(f.read_bytes() for f in files).lower()
    return [trace for trace in TRACES if trace in data]


@pytest.fixture(name="coldmail")
def make_coldmail(tmp_path, server):
    """It runs, and has written to ADA and to three others."""
    with with_page(tmp_path, server) as coldmail:
        coldmail.import_leads([ADA, *addresses(3)])
        coldmail.start()
        coldmail.wait_sent(4)
        yield coldmail


@pytest.mark.parametrize("runs", [True, False], ids=["running", "down"])
def test_no_byte_of_a_person_stays(runs, coldmail):
    coldmail.ctl("suppress", "add", ADA["email"], "--evidence", "a letter of Adalovelacia")
    coldmail.ctl("suppress", "add", "take.example", "--evidence", f"550 <{ADA['email'].upper()}> no")
    assert set(found(coldmail)) == set(TRACES)
    if not runs:
        assert coldmail.stop() == 0
    answer = coldmail.ctl("forget", "Ada.Unmistakable@Take.example")
    assert answer == {"leads": 1, "emails": 1, "attempts": 1, "suppressions": 1, "scrubbed": True}
    assert not found(coldmail)
    assert not coldmail.count("SELECT count(*) FROM attempts WHERE to_email = '' AND domain IS NOT NULL")
    if runs:
        assert coldmail.stop() == 0
        assert not found(coldmail)
    assert coldmail.ctl("suppress", "check", "x@take.example")["by"][0]["evidence"] == ""


def copies(coldmail):
    """{address: how often it is in the files of the store}"""
    data = b"".join(f.read_bytes() for f in coldmail.folder.glob("store.db*"))
    return collections.Counter(a.decode() for a in re.findall(rb"p\d{4}@take\.example", data))


@pytest.mark.parametrize("runs", [True, False], ids=["running", "down"])
def test_no_trace_stays_in_a_page_that_was_rearranged(runs, tmp_path):
    """Rows that grow make SQLite move others to another page, and leave what is moved where it was."""
    chance = random.Random(5)
    people = [f"p{i:04}@take.example" for i in range(2000)]
    with Coldmail(tmp_path, mailbox(ALI, 1), campaign(start="manual")) as coldmail:
        coldmail.start()
        coldmail.import_leads(people)
        for _ in range(4):
            chance.shuffle(people)
            coldmail.import_leads([{"email": person, "company": "x" * chance.randrange(1, 1500)}
                                   for person in people])
        assert coldmail.stop() == 0
        before = copies(coldmail)
        twice = [person for person, n in before.items() if n > min(before.values())]
        assert twice, "no row was left where it had been"
        if runs:
            coldmail.start()
        for person in twice[:5]:
            assert coldmail.ctl("forget", person)["scrubbed"] is True
        assert not copies(coldmail).keys() & set(twice[:5])
        assert coldmail.ctl("audit")["findings"] == []
        assert not coldmail.events("store_down")
        if runs:
            assert coldmail.stop() == 0
            assert not copies(coldmail).keys() & set(twice[:5])


def test_a_large_store_is_written_anew_when_asked_to(coldmail):
    with coldmail.database(write=True) as db:
        db.execute("CREATE TABLE ballast AS SELECT zeroblob(140 << 20)")
    assert coldmail.ctl("forget", ADA["email"]) == {
        "leads": 1, "emails": 1, "attempts": 1, "suppressions": 0, "scrubbed": False,
        "why": "a store of this size is not rewritten unasked"}
    told = run(coldmail, "--yes", "forget", ADA["email"]).stdout
    assert "Traces may still be" in told and "--vacuum" in told
    assert coldmail.ctl("forget", ADA["email"], "--vacuum")["scrubbed"] is True
    assert not found(coldmail)
    coldmail.import_leads(["bob@take.example"])
    coldmail.wait_sent(5)  # it works as before
    assert coldmail.stop() == 0


def test_what_is_left_guards_and_tells_nothing(coldmail, server):
    [person] = coldmail.rows("SELECT person FROM leads WHERE email = ?", ADA["email"])[0]
    token = token_of(coldmail, ADA["email"])
    coldmail.ctl("forget", ADA["email"])
    known = coldmail.ctl("leads", "show", ADA["email"], "--all")
    assert "lead" not in known
    assert [s["pattern"] for s in known["suppressions"]] == [f"person:{person}"]
    assert [s["reason"] for s in known["suppressions"]] == ["forgotten"]
    [mail], [attempt] = known["emails"], known["attempts"]
    assert (mail["to"], mail["subject"], mail["body"], mail["outcome"]) == ("", "", "", "sent")
    assert (attempt["to"], attempt["reply"], attempt["outcome"]) == ("", "", "sent")
    # The link in the mail that it has still works, and changes nothing more.
    assert person == person_of(coldmail, ADA["email"]).hex()
    assert coldmail.page.post(token)[0].status == 200
    # An import brings it back neither as a lead nor as an address.
    answer = coldmail.import_leads([ADA])
    assert (answer["added"], answer["suppressed"]) == (0, 1)
    assert coldmail.stop() == 0
    assert not found(coldmail)
    assert coldmail.ctl("forget", ADA["email"])["leads"] == 0  # again: nothing is left
    coldmail.fast_forward()
    assert sum(m.to == [ADA["email"]] for m in server.mails()) == 1
    assert len(server.mails()) == 7
    mails = [m for m in server.mails() if m.to != [ADA["email"]]]
    assert coldmail.ctl("audit", status=None).returncode == 0
    [ledger] = coldmail.rows("SELECT count(*) FROM attempts WHERE state = 'sent'")[0]
    assert ledger == len(mails) + 1


def test_whoever_comes_back_of_his_own_will_gets_no_mail_twice(coldmail, server):
    coldmail.ctl("forget", ADA["email"])
    coldmail.ctl("suppress", "remove", ADA["email"], "--reason", "signed up at the fair")
    assert coldmail.import_leads([ADA])["added"] == 1
    assert coldmail.stop() == 0
    coldmail.fast_forward()
    got = [server.data(m) for m in server.mails() if m.to == [ADA["email"]]]
    assert sum(b"this is intro" in data for data in got) == 1


def test_a_step_that_was_not_sent_is_cancelled(tmp_path):
    rules = [f"on rcpt do reply 451 4.2.0 <{ADA['email']}>: try again later"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads([ADA])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        coldmail.ctl("forget", ADA["email"])
        assert coldmail.stop() == 0
        [email] = coldmail.rows("SELECT state, outcome, status, to_email, body FROM emails")
        assert tuple(email) == ("done", "cancelled", "failed", "", "")
        assert not found(coldmail)
        assert not coldmail.count("SELECT coalesce(sum(n), 0) FROM tally")
        server.set_rules()
        coldmail.fast_forward()
        assert not server.mails()
        oracle.check(coldmail, server.mails())


def test_a_mail_under_way_is_waited_for(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 1500"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads([ADA])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        done = run(coldmail, "--yes", "forget", ADA["email"])
        assert done.returncode == 1 and "under way" in done.stderr
        assert coldmail.count("SELECT count(*) FROM leads") == 1
        coldmail.wait_sent(1)
        assert coldmail.ctl("forget", ADA["email"])["emails"] == 1
        assert coldmail.stop() == 0


def test_it_is_asked_for_and_shown_first(coldmail):
    would = coldmail.ctl("--dry-run", "forget", ADA["email"])
    assert would == {"leads": 1, "emails": 1, "attempts": 1, "suppressions": 0}
    done = run(coldmail, "forget", ADA["email"])
    assert done.returncode == 64 and "--yes was expected" in done.stderr
    assert "1 lead, 1 mail, 1 try, 0 suppressions" in done.stderr
    assert set(found(coldmail)) == set(TRACES)
    assert coldmail.ctl("forget", "nobody@take.example", status=None).returncode == 1
    assert run(coldmail, "--yes", "forget", "no address").returncode == 64
    assert not coldmail.rows("SELECT * FROM do_not_contact")


def test_the_log_does_not_say_who_was_forgotten(coldmail):
    before = len(coldmail.log.read_bytes())
    coldmail.ctl("forget", ADA["email"])
    coldmail.ctl("forget", "Nobody.Unmistakable@take.example", status=None)
    said = coldmail.log.read_bytes()[before:].lower()
    assert b'"forget"' in said and not [trace for trace in TRACES if trace in said]


def test_everything_that_is_known_of_a_person_is_shown(coldmail):
    coldmail.ctl("suppress", "add", "take.example", "--reason", "no", "--evidence", "a letter")
    shown = run(coldmail, "leads", "show", ADA["email"], "--all").stdout
    for said in (*ADA.values(), "intro for Adalovelacia", "Hi Adalovelacia", ALI, "a letter"):
        assert said in shown
    known = coldmail.ctl("leads", "show", ADA["email"], "--all")
    assert known["lead"]["first_name"] == "Adalovelacia"
    assert known["lead"]["extra"]["nickname"] == "Countessina"
    assert "Hi Adalovelacia" in known["emails"][0]["body"]
    assert known["attempts"][0]["to"] == ADA["email"]
    assert known["suppressions"][0]["evidence"] == "a letter"
    assert "emails" not in coldmail.ctl("leads", "show", ADA["email"])


# ---- what servers said of somebody --------------------------------------------------------------

NAMED = ADA["email"].title()


def everywhere(coldmail):
    """All that it shows to people about why it does not send."""
    shown = [coldmail.ctl("why"), coldmail.ctl("why", ALI), coldmail.ctl("mailboxes")]
    return f"{shown} {coldmail.status()}".lower()


def forget_and_look(coldmail):
    """It is gone from memory, and comes back to the store with nothing that is written there later."""
    assert ADA["email"] in everywhere(coldmail)
    coldmail.ctl("forget", ADA["email"])
    assert ADA["email"] not in everywhere(coldmail)
    before = coldmail.count("SELECT count(*) FROM controls")
    coldmail.ctl("resume", "all")
    assert coldmail.stop() == 0
    assert ADA["email"].encode() not in b"".join(
        f.read_bytes().lower() for f in coldmail.folder.glob("store.db*")
    )
    coldmail.start()
    assert ADA["email"] not in everywhere(coldmail)
    return before


def test_the_reason_of_a_mailbox_names_nobody(tmp_path):
    text = f"451 4.7.1 <{NAMED}>: sending rate of your account exceeded, slow down"
    code, _, rest = text.partition(" ")
    rule = f'on rcpt do reply {code} "{rest}"'
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads([ADA])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM mailboxes WHERE state = 'throttled'", 1)
        forget_and_look(coldmail)
        assert "slow down" in everywhere(coldmail)


def test_the_reason_of_a_pause_of_our_own_names_nobody(tmp_path):
    rules = [
        f'on rcpt to ada* do reply 554 "5.0.0 Zorbl frobnicated {NAMED} quux"',
        "on rcpt do reply 554 5.0.0 Zorbl frobnicated you",
    ]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(["a@b.example", "a@c.example"])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 2)
        coldmail.import_leads([ADA])
        coldmail.wait_for("SELECT count(*) FROM controls WHERE name LIKE 'pause/mailbox/%'", 1)
        assert forget_and_look(coldmail) == 1
        assert "frobnicated ****" in everywhere(coldmail)


def test_the_count_of_a_refused_content_names_nobody_and_goes_on(tmp_path):
    rule = f'on rcpt do reply 554 "5.7.1 <{NAMED}>: Message content rejected as spam"'
    with FakeSmtp(tmp_path / "smtp", rules=[rule]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(content_rejected_stop=1)
    ) as coldmail:
        coldmail.import_leads([ADA])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM controls", 1)
        assert forget_and_look(coldmail) == 1
        assert [r["reason"] for r in coldmail.ctl("why") if r["binds"]] == ["content_rejected"]
