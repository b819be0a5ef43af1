"""A store that was restored, copied or moved, or that two processes want, mails nobody."""
import os
import shutil
import signal
import subprocess
import time

import pytest

import oracle
from daemon import ALI, Coldmail, addresses, campaign, mailbox
from support import missing, wait_until

ENTRIES = "SELECT max(rowid) FROM attempts"


def make(folder, server, **keys):
    return Coldmail(folder, mailbox(ALI, server.port, **keys), campaign())


@pytest.fixture
def coldmail(tmp_path, server):
    """It has sent three of six mails: the other three are due, and their mailbox is paused."""
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.run_until_idle()
        coldmail.ctl("pause", "mailbox", ALI)
        coldmail.import_leads(addresses(3, "later.example"))
        yield coldmail


def seal_of(coldmail):
    lines = coldmail.folder.joinpath("store.db.seal").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines[1:])


def backup(coldmail, name="copy.db"):
    coldmail.ctl("backup", str(coldmail.folder / name))
    return coldmail.folder / name


def send_the_rest(coldmail, server):
    coldmail.ctl("resume", "mailbox", ALI)
    coldmail.run_until_idle()
    assert len(server.mails()) == 6


def refuses(coldmail, server, reason):
    """It runs, mails nobody, and says so everywhere."""
    before = len(server.mails())
    starts = len(coldmail.events("store_restored"))
    coldmail.start()
    coldmail.ctl("resume", "mailbox", ALI)
    coldmail.import_leads(["new@take.example"])
    time.sleep(0.3)
    status = coldmail.status()
    assert status["status"] == "unhealthy"
    assert any(reason in line for line in status["reasons"]), status["reasons"]
    why = [r for r in coldmail.ctl("why") if r["binds"]]
    assert [r["reason"] for r in why] == ["store_restored"]
    assert reason in why[0]["value"] and "takeover" in why[0]["value"]
    assert len(coldmail.events("store_restored")) == starts + 1
    assert coldmail.stop() == 0
    assert coldmail.run_until_idle()[0] == 75
    assert len(server.mails()) == before
    assert not coldmail.count("SELECT count(*) FROM leads WHERE state = 'in_flight'")


# ---- what is no copy ----------------------------------------------------------------------------


def test_a_store_that_stays_where_it_is_goes_on(coldmail, server):
    assert seal_of(coldmail)["entries"] == str(coldmail.count(ENTRIES)) == "6"
    for _ in range(3):
        coldmail.start()
        coldmail.kill()
    send_the_rest(coldmail, server)
    assert not coldmail.events("store_restored")
    oracle.check(coldmail, server.mails())


def test_the_seal_follows_while_it_sends(tmp_path, server):
    with make(tmp_path / "run", server) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        coldmail.wait_sent(2)
        wait_until(lambda: seal_of(coldmail)["entries"] == "4", what="the seal")
        coldmail.kill()
        assert seal_of(coldmail)["entries"] == "4"


def test_a_seal_that_lags_behind_is_what_a_crash_leaves(coldmail, server):
    seal = coldmail.folder / "store.db.seal"
    seal.write_text(seal.read_text().replace("entries 6", "entries 5"))
    send_the_rest(coldmail, server)


def test_a_copy_of_which_nothing_was_ever_mailed_needs_no_takeover(tmp_path, server):
    with make(tmp_path / "a", server) as first:
        first.import_leads(addresses(2))
    (tmp_path / "b").mkdir()
    shutil.copy(first.store, tmp_path / "b")
    with make(tmp_path / "b", server) as second:
        second.run_until_idle()
        assert len(server.mails()) == 2


# ---- what is one --------------------------------------------------------------------------------


def test_case_15_an_older_copy_over_the_file_mails_nobody(coldmail, server):
    copy = backup(coldmail)
    send_the_rest(coldmail, server)
    with open(coldmail.store, "r+b") as file:  # the same inode
        file.write(copy.read_bytes())
        file.truncate()
    refuses(coldmail, server, "its ledger has 6 entries, its seal knows of 12")


ORDERS = {
    "stop": ("leads", "stop", "lead0@later.example", "--because", "opted-out"),
    "hold": ("leads", "hold", "lead0@later.example"),
    "suppress": ("suppress", "add", "later.example"),
    "forget": ("forget", "lead0@later.example"),
    "pause": ("pause", "all"),
    "audit": ("audit", "--fix"),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("runs", [True, False])
def test_case_15_a_copy_that_does_not_know_of_an_order_mails_nobody(coldmail, server, order, runs):
    """No mail was sent since; what somebody was told to hold is gone with the file."""
    with coldmail.database(write=True) as db:
        db.execute("INSERT INTO do_not_contact (pattern) VALUES ('Lead0@LATER.example')")
    copy = backup(coldmail)
    if runs:
        coldmail.start()
    coldmail.ctl(*ORDERS[order])
    coldmail.kill()
    for name in ("store.db-wal", "store.db-shm"):
        (coldmail.folder / name).unlink(missing_ok=True)
    with open(coldmail.store, "r+b") as file:  # the same inode
        file.write(copy.read_bytes())
        file.truncate()
    refuses(coldmail, server, "opt-outs, stops and other orders")


def test_an_order_that_changed_nothing_and_a_look_count_for_nothing(coldmail):
    before = seal_of(coldmail)["facts"]
    for _ in range(2):
        coldmail.ctl("suppress", "add", "x.example")
    coldmail.ctl("leads", "stop", "lead0@later.example", "--dry-run")
    assert int(seal_of(coldmail)["facts"]) == int(before) + 1


def test_a_seal_of_an_older_version_is_read_and_renewed(coldmail, server):
    seal = coldmail.folder / "store.db.seal"
    lines = seal.read_text().splitlines(keepends=True)
    seal.write_text("".join(l for l in lines if not l.startswith("facts ")))
    assert "facts" not in seal_of(coldmail)
    send_the_rest(coldmail, server)
    assert int(seal_of(coldmail)["facts"]) > 0
    assert not coldmail.events("store_restored")


def test_case_15_a_copy_in_place_of_the_file_mails_nobody(coldmail, server):
    copy = backup(coldmail)
    copy.replace(coldmail.store)
    refuses(coldmail, server, "it is another file than the one that was sealed")


def test_case_15_a_copy_elsewhere_mails_nobody(coldmail, server, tmp_path):
    for name, reason in (("with", "it was sealed as"), ("without", "no seal is beside it")):
        folder = tmp_path / name
        shutil.copytree(coldmail.folder, folder)
        if name == "without":
            (folder / "store.db.seal").unlink()
        with make(folder, server) as copy:
            refuses(copy, server, reason)
    send_the_rest(coldmail, server)


def test_case_15_a_store_whose_directory_was_renamed_mails_nobody(coldmail, server, tmp_path):
    coldmail.folder.rename(tmp_path / "moved")
    with make(tmp_path / "moved", server) as moved:
        refuses(moved, server, f"it was sealed as {coldmail.store}")


def test_case_15_a_store_on_another_machine_mails_nobody(coldmail, server):
    (coldmail.folder / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    refuses(coldmail, server, "it was sealed on another machine")


def test_a_made_machine_id_that_makes_no_sense_is_an_outage(coldmail, server):
    (coldmail.folder / "machine-id").write_text("x\n")
    coldmail.spawn()
    wait_until(lambda: coldmail.events("store_down"), what="the outage")
    assert "32 hex digits were expected" in coldmail.events("store_down")[0]["why"]
    (coldmail.folder / "machine-id").unlink()
    wait_until(lambda: coldmail.events("ready"), what="the end of the outage")
    assert not coldmail.events("store_restored")


def test_a_new_store_in_place_of_the_old_one_mails_nobody(coldmail, server):
    coldmail.store.unlink()
    refuses(coldmail, server, "its seal is that of another store")


@pytest.mark.parametrize("text", ["", "coldmail seal 1\n", "noise", "x" * 100000])
def test_a_damaged_seal_is_no_seal(coldmail, server, text):
    (coldmail.folder / "store.db.seal").write_text(text)
    refuses(coldmail, server, "is damaged")


def test_any_byte_lost_of_a_seal_is_noticed_or_harmless(coldmail, server):
    """Nothing that stands there ends the daemon."""
    seal = coldmail.folder / "store.db.seal"
    whole = seal.read_bytes()
    for n in range(0, len(whole), 23):
        seal.write_bytes(whole[:n] + b"\x00" + whole[n + 1 :])
        coldmail.start()
        assert coldmail.stop() == 0
    assert len(server.mails()) == 3


def test_a_seal_that_cannot_be_read_is_an_outage(coldmail, server):
    """A name that leads to itself: root may read everything but that."""
    seal, aside = coldmail.folder / "store.db.seal", coldmail.folder / "aside"
    seal.rename(aside)
    seal.symlink_to(seal)
    coldmail.spawn()
    wait_until(lambda: coldmail.events("store_down"), what="the outage")
    assert "store.db.seal" in coldmail.events("store_down")[0]["why"]
    aside.replace(seal)
    wait_until(lambda: coldmail.events("ready"), what="the end of the outage")


def test_a_store_that_cannot_be_sealed_any_more_mails_nobody(coldmail, server):
    coldmail.start()
    blocked = coldmail.folder / "store.db.seal.tmp"
    coldmail.ctl("resume", "mailbox", ALI)
    coldmail.wait_sent(6)
    blocked.mkdir()
    coldmail.import_leads(addresses(3, "last.example"))
    wait_until(lambda: coldmail.events("store_down"), what="the outage")
    assert "store.db.seal.tmp" in coldmail.events("store_down")[0]["why"]
    sent = len(server.mails())
    coldmail.import_leads(addresses(3, "latest.example"))
    time.sleep(1.5)
    assert len(server.mails()) == sent
    blocked.rmdir()
    coldmail.wait_sent(12)


def test_an_opt_out_that_cannot_be_sealed_is_not_acknowledged(coldmail, server):
    """It holds all the same; who is not told so asks again."""
    coldmail.start()
    blocked = coldmail.folder / "store.db.seal.tmp"
    blocked.mkdir()
    refused = coldmail.ctl("suppress", "add", "lead0@later.example", status=69)
    assert "store.db.seal.tmp" in refused["error"]
    blocked.rmdir()
    assert coldmail.ctl("suppress", "add", "lead0@later.example")["added"] == 0
    coldmail.ctl("resume", "mailbox", ALI)
    coldmail.wait_sent(5)
    assert coldmail.stop() == 0
    assert ["lead0@later.example"] not in [m.to for m in server.mails()]


# ---- under the running daemon -------------------------------------------------------------------


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
def test_a_file_that_goes_while_it_runs_stops_it(coldmail, server, how):
    copy = backup(coldmail)
    coldmail.start()
    away = coldmail.folder / "away.db"
    if how == "replaced":
        copy.replace(coldmail.store)
    else:
        coldmail.store.rename(away)
    if how == "deleted":
        away.unlink()
    coldmail.ctl("resume", "mailbox", ALI, status=69)
    wait_until(lambda: coldmail.events("store_down"), what="the outage")
    assert "moved, deleted or replaced" in coldmail.events("store_down")[0]["why"]
    if how == "moved":
        away.rename(coldmail.store)
        wait_until(lambda: coldmail.events("store_up"), what="the end of the outage")
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.wait_sent(6)
        return
    time.sleep(1.5)
    assert coldmail.stop() == 0
    refuses(coldmail, server, "sealed" if how == "replaced" else "another store")


# ---- a second process ---------------------------------------------------------------------------


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_case_13_a_second_process_on_another_name_of_the_file_ends(coldmail, server, tmp_path, link):
    coldmail.start()
    with make(tmp_path / "second", server) as second:
        link(coldmail.store, second.store)
        second.spawn()
        assert second.wait() == 75
        assert "another process uses this store" in second.log.read_text()
    send_while_running(coldmail, server)


def send_while_running(coldmail, server):
    coldmail.ctl("resume", "mailbox", ALI)
    coldmail.wait_sent(6)
    assert coldmail.stop() == 0
    oracle.check(coldmail, server.mails())


def test_a_symlink_to_the_store_is_the_store(coldmail, server, tmp_path):
    with make(tmp_path / "second", server) as second:
        second.store.symlink_to(coldmail.store)
        send_the_rest(second, server)
        assert not second.events("store_restored")


def test_case_13_of_two_that_start_at_once_one_ends(coldmail, server):
    coldmail.ctl("resume", "mailbox", ALI)
    for _ in range(5):
        first, second = coldmail.spawn(), None
        coldmail.process = None
        try:
            second = coldmail.spawn()
            ended = wait_until(
                lambda: [p for p in (first, second) if p.poll() is not None], what="one to end"
            )
            assert [p.returncode for p in ended] == [75]
        finally:
            for process in filter(None, (first, second)):
                process.send_signal(signal.SIGTERM)
                process.wait(20)
    coldmail.process = None
    coldmail.run_until_idle()
    assert len(server.mails()) == 6
    oracle.check(coldmail, server.mails())


# ---- with mounts of one's own -------------------------------------------------------------------


def mounted(what, where, program):
    """PROGRAM's words, run where WHAT is mounted at WHERE."""
    script = 'mount --bind "$0" "$1" && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, what, where, *program]


@pytest.fixture
def may_mount(tmp_path):
    (tmp_path / "point").mkdir()
    words = mounted(tmp_path, tmp_path / "point", ["true"])
    if subprocess.run(words, stderr=subprocess.DEVNULL).returncode:
        missing("CAP_SYS_ADMIN, to mount in a namespace")


def test_case_13_a_second_process_on_another_path_of_the_file_ends(
    coldmail, server, tmp_path, may_mount
):
    coldmail.start()
    with make(tmp_path / "second", server) as second:
        second.store.touch()
        words = mounted(coldmail.store, second.store, [second.program, "-c", second.conf])
        done = subprocess.run(words, text=True, capture_output=True, timeout=20)
        assert done.returncode == 75 and "another process uses this store" in done.stderr
    send_while_running(coldmail, server)


def test_a_machine_without_an_id_gets_one_that_stays(tmp_path, server, may_mount):
    none = tmp_path / "none"
    none.touch()
    with make(tmp_path / "run", server) as coldmail:
        words = [coldmail.program, "-c", coldmail.conf, "--until-idle"]
        for n in (1, 2):
            coldmail.import_leads(addresses(n))
            if n == 1:
                (coldmail.folder / "store.db.seal").unlink()
            done = subprocess.run(
                mounted(none, "/etc/machine-id", words), capture_output=True, timeout=20
            )
            assert done.returncode == 0, done
            assert len(server.mails()) == n
        made = (coldmail.folder / "machine-id").read_text().strip()
        assert seal_of(coldmail)["machine"] == made
        assert coldmail.run_until_idle()[0] == 0  # the made one outranks the machine's own
        (coldmail.folder / "machine-id").unlink()
        refuses(coldmail, server, "it was sealed on another machine")
