"""A full disk, a disk that is read-only, a store another program holds, a log that nobody reads: no
dot leaves that the ledger could not take, nothing is lost, and it goes on by itself."""
import contextlib
import fcntl
import os
import random
import subprocess
import time

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import missing, wait_until


@contextlib.contextmanager
def small_disk(folder, size="24m"):
    """A file system of its own, mounted on FOLDER and gone afterwards."""
    if os.geteuid() != 0:
        missing("root, to mount a small file system")
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "coldmail-test", folder],
        check=False,
    ).returncode:
        missing("a mount of tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(disk):
    """Takes the last byte."""
    with open(disk / "filler", "wb", buffering=0) as out:
        for size in (65536, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    out.write(b"x" * size)


def store_is_down(coldmail):
    return not coldmail.status()["store"]["ok"]


def test_a_full_disk_stops_the_dots_and_loses_nothing(tmp_path):
    rules = ["on dot every 2 do delay 5"]
    with small_disk(tmp_path / "disk") as disk, FakeSmtp(
        tmp_path / "smtp", rules=rules
    ) as server, Coldmail(tmp_path / "run") as coldmail:
        coldmail.store = disk / "store.db"
        coldmail.configure(
            *(mailbox(a, server.port, connections=3) for a in (ALI, BEA)),
            campaign(mailboxes=(ALI, BEA), steps=("intro", "nudge")),
        )
        coldmail.import_leads(addresses(800))
        coldmail.start()
        opt_outs = []
        before = len(server.mails())
        wait_until(lambda: len(server.mails()) > before + 100, what="some mails")
        fill(disk)
        wait_until(lambda: store_is_down(coldmail), what="the store is down")
        assert [r["reason"] for r in coldmail.ctl("why") if r["binds"]] == ["store_down"]
        time.sleep(0.1)  # what was past its slot
        stopped = len(server.mails())
        time.sleep(0.4)
        assert len(server.mails()) == stopped
        # A word that is small enough may still find room; if it was acknowledged, it holds.
        if coldmail.ctl("suppress", "add", "lead799@take.example", status=None).returncode == 0:
            opt_outs.append(oracle.OptOut("lead799@take.example", time.time() * 1000, []))
        (disk / "filler").unlink()
        wait_until(lambda: not store_is_down(coldmail), 40, "the store is back")
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state <> 'ended'", 0, 40)
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails(), opt_outs)
        assert {m.to[0] for m in server.mails()} >= set(addresses(799))
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'") == 0


def test_killed_on_a_full_disk(tmp_path):
    with small_disk(tmp_path / "disk") as disk, FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run"
    ) as coldmail:
        coldmail.store = disk / "store.db"
        coldmail.configure(mailbox(ALI, server.port, connections=4), campaign())
        coldmail.import_leads(addresses(1000))
        coldmail.start()
        wait_until(lambda: len(server.mails()) > 50, what="some mails")
        fill(disk)
        wait_until(lambda: store_is_down(coldmail), what="the store is down")
        coldmail.kill()
        coldmail.spawn()  # it starts, without its store
        wait_until(
            lambda: coldmail.events("store_down")[-1:], what="the store is down at the start"
        )
        time.sleep(0.3)
        assert coldmail.is_running()
        (disk / "filler").unlink()
        coldmail.wait_for(
            "SELECT count(*) FROM leads WHERE state IN ('queued', 'in_flight')", 0, 40
        )
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_a_read_only_disk_at_the_start_is_waited_for(tmp_path):
    with small_disk(tmp_path / "disk") as disk, FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run"
    ) as coldmail:
        coldmail.store = disk / "store.db"
        coldmail.configure(mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(3))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        coldmail.spawn()
        wait_until(lambda: coldmail.events("store_down"), what="it says so")
        assert coldmail.status()["status"] == "unhealthy" and not server.mails()
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        wait_until(lambda: len(server.mails()) == 3, 20, "three mails")
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_a_seal_that_cannot_be_written_is_an_outage_that_everybody_is_told_of(tmp_path):
    """Although the store itself takes what it is given."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port, gap="200ms"), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(60))
        coldmail.start()
        coldmail.wait_sent(2)
        in_the_way = coldmail.folder / "store.db.seal.tmp"
        in_the_way.mkdir()
        (in_the_way / "x").touch()
        wait_until(lambda: coldmail.events("store_down"), what="it is noticed")
        told = coldmail.ctl("suppress", "add", "zz@elsewhere.example", status=69)
        assert "it is stored and holds" in told["error"]
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 1
        told = coldmail.ctl("pause", "campaign", "founders", status=69)
        assert "it is stored and holds" in told["error"]
        assert [r["reason"] for r in coldmail.ctl("why")][:2] == ["store_down", "campaign_paused"]
        for start in ("of before", "anew"):
            status = coldmail.status()
            assert status["status"] == "unhealthy" and not status["store"]["ok"], start
            assert "store.db.seal.tmp" in status["reasons"][0], start
            why = coldmail.ctl("why")
            assert why[0]["reason"] == "store_down" and "store.db.seal.tmp" in why[0]["value"]
            assert "no lead waits" not in str(why)
            if start == "of before":
                assert status["store"]["down_since"]
                coldmail.stop()
                told = len(coldmail.events("store_down"))
                coldmail.spawn()
                wait_until(lambda: len(coldmail.events("store_down")) > told, what="the same again")
        (in_the_way / "x").unlink()
        in_the_way.rmdir()
        wait_until(lambda: coldmail.status()["store"]["ok"], what="it is up")
        coldmail.ctl("resume", "campaign", "founders")
        coldmail.wait_sent(60, 60)
        assert coldmail.status()["status"] == "healthy"


def test_a_store_that_another_program_holds_delays_and_loses_nothing(tmp_path):
    """An operator's shell with an open transaction."""
    rules = ["on dot do delay 3"]  # or all are out before the shell is there
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, Coldmail(
        tmp_path, "store_timeout = 300ms\n", mailbox(ALI, server.port, connections=2), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(2000))
        coldmail.start()
        wait_until(lambda: len(server.mails()) > 50, what="some mails")
        with coldmail.database(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            wait_until(lambda: store_is_down(coldmail), what="the store is down")
            stopped = len(server.mails())
            time.sleep(0.5)
            assert len(server.mails()) == stopped
        coldmail.wait_sent(2000)
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_a_store_that_is_taken_while_it_is_waited_for_is_waited_for(tmp_path):
    """Its folder is missing at the start, and another process is quicker when it comes."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(tmp_path / "run") as coldmail:
        coldmail.store = tmp_path / "later" / "store.db"
        coldmail.configure(mailbox(ALI, server.port), campaign())
        coldmail.spawn()
        wait_until(lambda: coldmail.events("store_down"), what="there is no folder")
        coldmail.store.parent.mkdir()
        with open(f"{coldmail.store}.lock", "w", encoding="ascii") as other:
            fcntl.lockf(other, fcntl.LOCK_EX)
            wait_until(lambda: len(coldmail.events("store_down")) == 2, what="it is taken")
            assert coldmail.is_running()
            assert "another process" in coldmail.ctl("why")[0]["value"]
        wait_until(lambda: coldmail.events("ready"), what="it is free")
        coldmail.import_leads(addresses(1))
        coldmail.wait_sent(1)
        assert coldmail.stop() == 0


@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_file_is_told_and_crashes_nothing(seed, tmp_path):
    """Bytes of the store at random."""
    chance = random.Random(seed)
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        "stop_timeout = 200ms\nstore_timeout = 300ms\n",
        mailbox(ALI, server.port),
        campaign(steps=("intro", "nudge")),
    ) as coldmail:
        coldmail.import_leads(addresses(200))
        damaged = bytearray(coldmail.store.read_bytes())
        for _ in range(60):
            at = chance.randrange(4096, len(damaged))
            damaged[at : at + 8] = chance.randbytes(8)
        coldmail.store.write_bytes(damaged)
        coldmail.spawn()
        wait_until(
            lambda: coldmail.events("store_damaged") or coldmail.events("store_down"),
            what="a word about it",
        )
        time.sleep(0.3)
        assert coldmail.stop() == 0, coldmail.tail()
        sent = [(m.to[0], m.message_id) for m in server.mails()]
        assert len(sent) == len(set(sent))


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_log_that_nobody_reads_delays_nothing(level, tmp_path):
    """Standard error is a full pipe."""
    reader, writer = os.pipe()
    try:
        with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
            tmp_path,
            f"log {{ level = {level} }}\n",
            mailbox(ALI, server.port, connections=4),
            campaign(),
        ) as coldmail:
            coldmail.import_leads(addresses(1000))
            coldmail.spawn(stderr=writer)
            wait_until(lambda: len(server.mails()) == 1000, 20, "all mails")
            coldmail.wait_sent(1000)
            assert coldmail.stop() == 0
            oracle.check(coldmail, server.mails())
    finally:
        os.close(reader)
        os.close(writer)


def test_a_standard_error_that_is_closed_ends_nothing(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(20))
        assert coldmail.run_until_idle(stderr=writer)[0] == 0 and len(server.mails()) == 20
    os.close(writer)
