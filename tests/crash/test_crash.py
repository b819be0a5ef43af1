"""SIGKILL at any instruction: at every fail-point, each time it is passed, and at random moments.
Afterwards the server's list and the ledger have to tell the same story (oracle.py)."""
import collections
import os
import random
import signal
import threading
import time

import pytest

import oracle
from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from lives import (
    CLEAR,
    NAMES,
    RECOVERY,
    RESTORE,
    SELDOM,
    STEPS,
    TAKEOVER,
    TLS,
    at,
    case,
    die,
    finish,
    passed,
    sections,
    serve,
)

KILLS = int(os.environ.get("COLDMAIL_KILLS", "200"))
# So often each name is killed at: the first times, when the ledger is young, and later ones.
PASSINGS = (1, 3, 11)


def kill_at(name, imported, folder):
    """Each of PASSINGS; at least the first is a kill."""
    for n in PASSINGS:
        server, coldmail = case(imported, folder / f"{name}-{n}")
        with server:
            died = die(coldmail, name, n)
            assert died or n > 1, f"{name} was not passed"
            finish(server, coldmail)
        if not died:
            return


def test_every_fail_point_is_passed(imported, tmp_path):
    """A name that no run passes would be a kill that is never tried."""
    names = passed(imported, tmp_path / "list")
    assert set(NAMES) - SELDOM <= names
    assert {
        f"{op}.after_commit" for op in ("claim", "draft", "reserve", "slot", "outcome")
    } <= names


@pytest.mark.parametrize("name", [name for name in NAMES if name not in SELDOM])
def test_case_07_killed_at(name, imported, tmp_path):
    kill_at(name, imported, tmp_path)


@pytest.mark.parametrize("side", ["before_commit", "after_commit"])
def test_case_10_20_killed_around_the_commit_of_each_request(side, imported, tmp_path):
    names = [
        name
        for name in passed(imported, tmp_path / "list")
        if name.endswith(side) and name not in NAMES
    ]
    for name in names:
        kill_at(name, imported, tmp_path)


@pytest.mark.parametrize("name", RECOVERY)
@pytest.mark.parametrize("before", ["reserve.after", "slot.after", "dot.after"])
def test_killed_while_recovering(name, before, imported, tmp_path):
    """The recovery from a kill is killed, and the one after that."""
    server, coldmail = case(imported, tmp_path / "case")
    with server:
        coldmail.spawn("--until-idle", environment=at(before, 3))
        assert coldmail.wait() == -signal.SIGKILL
        for _ in range(2):
            coldmail.spawn("--until-idle", environment=at(name))
            assert coldmail.wait() == -signal.SIGKILL
        finish(server, coldmail)


@pytest.mark.parametrize("name", [*TAKEOVER, "doubt.before_commit", "doubt.after_commit"])
def test_case_15_killed_while_taking_over(name, imported, tmp_path):
    """Nobody is mailed twice, and asked again it goes on where it was."""
    server, coldmail = case(imported, tmp_path / "case")
    with server:
        coldmail.spawn("--until-idle", environment=at("reserve.after", 2))
        assert coldmail.wait() == -signal.SIGKILL
        copy = coldmail.folder / "copy.db"
        coldmail.ctl("backup", str(copy))
        coldmail.run_until_idle()
        before = len(server.mails())
        copy.replace(coldmail.store)
        coldmail.start(environment=at(name))
        coldmail.ctl("takeover", status=69)
        assert coldmail.wait() == -signal.SIGKILL
        coldmail.ctl("takeover", status=1 if name == "takeover.after_seal" else 0)
        doubts = coldmail.ctl("sends", "--outcome", "uncertain")
        assert len(doubts) == 6 * len(STEPS)
        for attempt in doubts:
            coldmail.ctl("resolve", attempt["id"], "--sent")
        coldmail.run_until_idle()
        assert len(server.mails()) == before
        assert coldmail.ctl("audit")["findings"] == []


@pytest.mark.parametrize("name", RESTORE)
def test_case_15_killed_while_restoring(name, imported, tmp_path, monkeypatch):
    """The old store or the backup is there, never half of both, and nobody is mailed by it."""
    server, coldmail = case(imported, tmp_path / "case")
    with server:
        coldmail.spawn("--until-idle", environment=at("outcome.before", 3))
        assert coldmail.wait() == -signal.SIGKILL
        copy = coldmail.folder / "copy.db"
        coldmail.ctl("backup", str(copy))
        coldmail.run_until_idle()
        before = server.mails()
        monkeypatch.setenv("COLDMAIL_FAILPOINT", name)
        coldmail.ctl("restore", str(copy), status=69)
        monkeypatch.delenv("COLDMAIL_FAILPOINT")
        coldmail.run_until_idle()
        assert len(server.mails()) == len(before)
        if name != "restore.renamed":
            oracle.check(coldmail, before)
            coldmail.ctl("restore", str(copy))
        assert coldmail.run_until_idle()[0] == 75
        coldmail.ctl("takeover")
        coldmail.run_until_idle()
        assert len(server.mails()) == len(before)
        assert coldmail.ctl("audit")["findings"] == []


def test_case_10_killed_after_the_dot_is_uncertain_and_goes_on_when_settled(imported, tmp_path):
    server, coldmail = case(imported, tmp_path / "case")
    with server:
        coldmail.spawn("--until-idle", environment=at("outcome.before"))
        assert coldmail.wait() == -signal.SIGKILL
        assert finish(server, coldmail) >= 1
        for attempt in coldmail.ctl("sends", "--outcome", "uncertain"):
            came = attempt["message_id"] in [m.message_id for m in server.mails()]
            coldmail.ctl("resolve", attempt["id"], "--sent" if came else "--not-sent")
        assert finish(server, coldmail) == 0
        assert len(server.mails()) == 5 * len(STEPS)


@pytest.mark.parametrize("name", ["import.before_commit", "import.after_commit"])
def test_case_63_killed_during_an_import_that_is_then_repeated(name, tmp_path):
    people = addresses(1100)
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, connections=4), campaign(), test=True
    ) as coldmail:
        coldmail.start(environment=at(name, 2))
        coldmail.import_leads(people, status=69)
        assert coldmail.wait() == -signal.SIGKILL
        stored = coldmail.count("SELECT count(*) FROM leads")
        assert 0 < stored < len(people)
        answer = coldmail.import_leads(people)
        assert (answer["added"], answer["duplicate"]) == (len(people) - stored, stored)
        coldmail.run_until_idle()
        assert len(server.mails()) == len(people)
        oracle.check(coldmail, server.mails())


# ---- random kills -------------------------------------------------------------------------------


class OptOuts(threading.Thread):
    """Suppresses one lead after the other, while the daemon lives and dies."""

    def __init__(self, coldmail, people):
        super().__init__()
        self.coldmail, self.people = coldmail, people
        self.acknowledged, self.over = [], False

    def run(self):
        people = iter(self.people)
        address = next(people, None)
        while address and not self.over:
            try:
                control = self.coldmail.control()
                while address and not self.over:
                    answer = control.call("suppress/add", patterns=[address])
                    self.acknowledged.append(
                        oracle.OptOut(address, time.time() * 1000, answer["in_transmission"])
                    )
                    address = next(people, None)
                    time.sleep(0.02)
            except (OSError, EOFError):
                time.sleep(0.01)  # killed before it answered: the same person again
            except Exception:  # an answer cut off
                time.sleep(0.01)


@pytest.mark.parametrize("wire", [CLEAR, TLS], ids=lambda wire: wire.name)
def test_killed_at_random_moments(wire, certs, tmp_path):
    """One store, many lives; opt-outs come in all the time."""
    chance, kills = random.Random(KILLS), KILLS // 2
    server, keys = serve(tmp_path, ["on dot do delay 30"], wire, certs)
    with server, Coldmail(
        tmp_path, *sections(server.port, connections=4, **keys)
    ) as coldmail:
        people = addresses(12 * kills)
        coldmail.import_leads(people)
        opt_outs = OptOuts(coldmail, chance.sample(people, len(people) // 3))
        opt_outs.start()
        try:
            for _ in range(kills):
                coldmail.spawn()
                time.sleep(chance.uniform(0.02, 0.22))
                coldmail.kill()
        finally:
            opt_outs.over = True
            opt_outs.join(30)
        server.set_rules()
        coldmail.run_until_idle()
        oracle.check(coldmail, server.mails(), opt_outs.acknowledged)
        ends = collections.Counter(
            {
                r[0]: r[1]
                for r in coldmail.rows(
                    "SELECT state, count(*) FROM attempts WHERE slot = 0 GROUP BY 1"
                )
            }
        )
        # Enough of all that for it to have been a test, on a busy machine, too.
        assert ends["sent"] > kills and ends["uncertain"] > kills / 10, ends
        assert len(opt_outs.acknowledged) > kills / 10


# ---- the oracle itself --------------------------------------------------------------------------

PLANTED = {
    "accepted 2 times": None,
    "accepted without an attempt": "DELETE FROM attempts WHERE _id LIKE '%lead%' OR slot IN (0, 1)",
    "but ['released']": "UPDATE attempts SET state = 'released' WHERE slot = 0 AND state = 'sent'",
    "never accepted": None,
    "after its opt-out": None,
    "within 24 hours": None,
    "n_sent": "UPDATE leads SET n_sent = n_sent + 1 WHERE n_sent > 0",
    "written to, but pending": "UPDATE leads SET status = 'pending'",
    "tally": "UPDATE tally SET n = n + 1",
    "audit:": "UPDATE leads SET status = 'pending'",
}


@pytest.mark.parametrize("sentence", PLANTED)
def test_oracle_finds_what_is_planted(sentence, imported, tmp_path):
    server, coldmail = case(imported, tmp_path / "case")
    with server:
        coldmail.run_until_idle()
        accepted = server.mails()
        oracle.check(coldmail, accepted)
        opt_outs, caps = [], {}
        if PLANTED[sentence]:
            with coldmail.database(write=True) as db:
                db.execute(PLANTED[sentence])
        elif sentence == "accepted 2 times":
            accepted.append(accepted[0])
        elif sentence == "never accepted":
            accepted.pop()
        elif sentence == "within 24 hours":
            caps = {ALI: 1}
        else:
            opt_outs = [oracle.OptOut(accepted[-1].to[0], accepted[-1].ms - 1, [])]
        found = list(oracle.violations(coldmail, accepted, opt_outs, caps))
        assert any(sentence in line for line in found), found
