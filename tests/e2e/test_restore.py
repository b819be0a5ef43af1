"""A backup takes the store's place: verified, with nothing lost of the old one, and mailing nobody."""
import sqlite3

import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from test_ctl import run
from unsubscribe import token_of, with_page

LATER = addresses(3, "later.example")


def make(folder, server):
    return Coldmail(folder, mailbox(ALI, server.port), campaign())


@pytest.fixture
def coldmail(tmp_path, server):
    """It has sent three mails, was copied to copy.db, and sent three more."""
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.run_until_idle()
        coldmail.ctl("backup", str(coldmail.folder / "copy.db"))
        coldmail.import_leads(LATER)
        coldmail.run_until_idle()
        yield coldmail


def restore(coldmail, file="copy.db", status=0, dry_run=False):
    dry = ["--dry-run"] if dry_run else []
    return coldmail.ctl(*dry, "restore", str(coldmail.folder / file), status=status)


def refused(coldmail, reason, file="copy.db"):
    before = coldmail.store.read_bytes() if coldmail.store.exists() else None
    for dry_run in (True, False):
        answer = restore(coldmail, file, None, dry_run)
        assert answer.returncode == 1 and reason in answer.stderr, answer
    assert not coldmail.store.exists() or coldmail.store.read_bytes() == before
    assert not list(coldmail.folder.glob("store.db.restore*"))


def people(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        return {row[0] for row in db.execute("SELECT email FROM leads")}


def test_case_15_a_restored_backup_mails_nobody_until_it_is_taken_over(coldmail, server):
    answer = restore(coldmail)
    assert people(answer["kept"]) == {*addresses(3), *LATER}
    assert people(coldmail.store) == {*addresses(3)}
    assert coldmail.run_until_idle()[0] == 75
    assert len(coldmail.events("store_restored")) == 1
    assert coldmail.ctl("takeover")["steps"] == 0
    assert coldmail.run_until_idle()[0] == 0
    assert len(server.mails()) == 6
    assert coldmail.ctl("audit")["findings"] == []


def test_the_store_that_was_there_can_be_put_back(coldmail, server):
    kept = restore(coldmail)["kept"]
    restore(coldmail, kept)
    assert people(coldmail.store) == {*addresses(3), *LATER}
    coldmail.ctl("takeover")
    assert coldmail.run_until_idle()[0] == 0
    assert len(server.mails()) == 6


def test_nothing_of_the_old_store_is_lost_that_was_only_in_its_log(coldmail, server):
    coldmail.start()
    coldmail.import_leads(["last@take.example"])
    coldmail.kill()
    assert coldmail.folder.joinpath("store.db-wal").stat().st_size
    kept = restore(coldmail)["kept"]
    assert "last@take.example" in people(kept)
    assert people(coldmail.store) == {*addresses(3)}


def test_a_dry_run_only_verifies(coldmail, server):
    before = coldmail.store.stat().st_ino
    restore(coldmail, dry_run=True)
    assert coldmail.store.stat().st_ino == before
    assert not list(coldmail.folder.glob("store.db.*Z"))
    assert coldmail.run_until_idle()[0] == 0


def test_a_running_daemon_keeps_its_store(coldmail, server):
    coldmail.start()
    refused(coldmail, "stop it first")
    coldmail.import_leads(["last@take.example"])
    coldmail.wait_sent(7)


def test_what_is_no_sound_backup_of_this_store_is_refused(coldmail, server, tmp_path):
    refused(coldmail, "unable to open", "missing.db")
    (coldmail.folder / "noise.db").write_bytes(b"x" * 10000)
    refused(coldmail, "not a database", "noise.db")
    (coldmail.folder / "empty.db").write_bytes(b"")
    refused(coldmail, "not a coldmail store", "empty.db")
    refused(coldmail, "the store itself", "store.db")
    damaged = bytearray((coldmail.folder / "copy.db").read_bytes())
    damaged[9 * 4096 : 12 * 4096] = b"\xa5" * (3 * 4096)
    (coldmail.folder / "damaged.db").write_bytes(damaged)
    refused(coldmail, "damaged", "damaged.db")
    with sqlite3.connect(coldmail.folder / "copy.db") as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'schema'")
    refused(coldmail, "newer coldmail")
    with make(tmp_path / "other", server) as other:
        other.import_leads(["x@other.example"])
        other.ctl("backup", str(coldmail.folder / "other.db"))
    refused(coldmail, "a backup of another store", "other.db")


def test_a_damaged_store_is_replaced_all_the_same(coldmail, server):
    coldmail.store.write_bytes(b"x" * 100000)
    kept = restore(coldmail)["kept"]
    assert coldmail.folder.joinpath(kept).read_bytes() == b"x" * 100000
    coldmail.ctl("takeover")
    assert coldmail.run_until_idle()[0] == 0
    assert len(server.mails()) == 6


def test_a_store_that_is_gone_is_replaced(coldmail, server):
    for file in coldmail.folder.glob("store.db*"):
        file.unlink()
    restore(coldmail)
    assert coldmail.run_until_idle()[0] == 75
    coldmail.ctl("takeover")
    assert coldmail.run_until_idle()[0] == 0
    assert len(server.mails()) == 6


def test_of_a_store_that_never_mailed_a_restored_backup_is_one_too(tmp_path, server):
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.ctl("backup", str(coldmail.folder / "copy.db"))
        for file in coldmail.folder.glob("store.db*"):
            file.unlink()
        restore(coldmail)
        assert coldmail.run_until_idle()[0] == 75
        assert coldmail.ctl("takeover", "--moved", status=None).returncode == 1
        assert coldmail.ctl("takeover")["steps"] == 3
        assert not server.mails()


def test_the_file_behind_a_link_is_replaced(coldmail, server, tmp_path):
    with make(tmp_path / "second", server) as second:
        second.store.symlink_to(coldmail.store)
        second.ctl("restore", str(coldmail.folder / "copy.db"))
        assert second.store.is_symlink()
        assert people(coldmail.store) == {*addresses(3)}


# ---- what people said since ---------------------------------------------------------------------

PEOPLE = {
    name: f"{name}@take.example"
    for name in ("clicked", "stopped", "replied", "held", "listed", "forgotten", "silent")
}


@pytest.fixture
def spoken(tmp_path, server):
    """Everybody got a first mail; then came the backup, and then words of all but one."""
    with with_page(tmp_path, server) as coldmail:
        coldmail.import_leads([*PEOPLE.values(), "late@take.example"])
        coldmail.run_until_idle()
        coldmail.ctl("backup", str(coldmail.folder / "copy.db"))
        coldmail.start()
        assert coldmail.page.post(token_of(coldmail, PEOPLE["clicked"]))[0].status == 200
        coldmail.ctl("leads", "stop", PEOPLE["stopped"])
        coldmail.ctl("leads", "stop", PEOPLE["replied"], "--because", "replied")
        coldmail.ctl("leads", "hold", PEOPLE["held"])
        coldmail.ctl("suppress", "add", PEOPLE["listed"])
        coldmail.ctl("suppress", "add", "short.example", "--until", "2099-01-01")
        coldmail.ctl("forget", PEOPLE["forgotten"])
        assert coldmail.stop() == 0
        yield coldmail


def mailed_after(coldmail, server):
    """Who gets the next step once the store is taken over."""
    before = len(server.mails())
    coldmail.ctl("takeover")
    coldmail.fast_forward()
    return sorted(m.to[0] for m in server.mails()[before:])


def test_case_48_what_people_said_since_the_backup_is_carried_over(spoken, server):
    answer = restore(spoken)
    assert (answer["suppressions"], answer["leads"], answer["forgotten"]) == (4, 5, 1)
    assert "not_carried" not in answer
    assert PEOPLE["forgotten"].encode() not in spoken.store.read_bytes()
    assert mailed_after(spoken, server) == ["late@take.example", PEOPLE["silent"]]
    reasons = {e: spoken.lead(PEOPLE[e])["reason"] for e in PEOPLE if e != "forgotten"}
    assert reasons == {
        "clicked": "opted_out", "stopped": "stopped", "replied": "lead_replied",
        "held": "operator", "listed": "suppressed", "silent": "completed"}
    assert spoken.ctl("audit")["findings"] == []


def test_a_backup_of_an_older_version_takes_it_too(spoken, server):
    with sqlite3.connect(spoken.folder / "copy.db") as db:
        db.execute("DROP INDEX attempts_domains")
        db.execute("ALTER TABLE attempts DROP COLUMN domain")
        db.execute("UPDATE meta SET value = 7 WHERE name = 'schema'")
    assert restore(spoken)["suppressions"] == 4
    assert mailed_after(spoken, server) == ["late@take.example", PEOPLE["silent"]]


def test_a_store_that_nobody_can_read_is_said_and_with_what_to_do(spoken, server):
    spoken.store.write_bytes(b"x" * 100000)
    told = run(spoken, "--yes", "restore", str(spoken.folder / "copy.db")).stdout
    assert "That is not all: " in told and "not a database" in told
    assert "suppress import" in told


def test_a_list_of_which_some_is_not_readable_is_said(spoken, server):
    with spoken.database(write=True) as db:
        db.execute("INSERT INTO do_not_contact (pattern) VALUES (x'00ff')")
    answer = restore(spoken)
    assert answer["suppressions"] == 4 and "1 row of its suppression" in answer["not_carried"]
