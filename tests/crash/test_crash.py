"""SIGKILL at any instruction: at every fail-point, each time it is passed, and at random moments.
Afterwards the server's list and the ledger have to tell the same story (oracle.py)."""
import collections
import os
import random
import re
import shutil
import signal
import threading
import time

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import REPOSITORY

KILLS = int(os.environ.get("COLDMAIL_KILLS", "200"))
STEPS = ("intro", "nudge", "last")
# Every arrow of the ledger, as the sources name it.
NAMES = sorted(
    {
        name
        for file in (REPOSITORY / "src").rglob("*.c")
        for name in re.findall(r'fail_point\("([a-z_.]+)"\)', file.read_text())
    }
)
RECOVERY = [name for name in NAMES if name.startswith("recover.")]
TAKEOVER = [name for name in NAMES if name.startswith("takeover.")]
SELDOM = {*RECOVERY, *TAKEOVER}  # no plain campaign passes these
# So often each name is killed at: the first times, when the ledger is young, and later ones.
PASSINGS = (1, 3, 11)
REFUSE = "on rcpt to refused@* do reply 550 5.1.1 No such user here"


def sections(port, connections=2):
    boxes = [mailbox(address, port, connections=connections) for address in (ALI, BEA)]
    return [*boxes, campaign(mailboxes=(ALI, BEA), steps=STEPS)]


def at(name, n=1):
    return {**os.environ, "COLDMAIL_FAILPOINT": f"{name}:{n}"}


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder with leads imported and nothing sent: each case starts from a copy."""
    folder = tmp_path_factory.mktemp("imported")
    with Coldmail(folder, *sections(1), test=True) as coldmail:
        coldmail.import_leads([*addresses(5), "refused@take.example"])
    return folder


def case(imported, folder):
    """(server, coldmail) on a fresh copy of the store."""
    folder.mkdir()
    shutil.copy(imported / "store.db", folder)
    server = FakeSmtp(folder / "smtp", rules=[REFUSE])
    return server, Coldmail(folder, *sections(server.port), test=True)


def finish(server, coldmail):
    status, _ = coldmail.run_until_idle()
    uncertain = coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'")
    assert status == (75 if uncertain else 0)
    oracle.check(coldmail, server.mails())
    return uncertain


def passed(imported, folder):
    """The names that a whole campaign passes."""
    server, coldmail = case(imported, folder)
    with server:
        coldmail.run_until_idle(environment={**os.environ, "COLDMAIL_FAILPOINT": "list"})
        return set(re.findall(r"^failpoint (\S+)", coldmail.log.read_text(), re.M))


def kill_at(name, imported, folder):
    """Each of PASSINGS; at least the first is a kill."""
    for n in PASSINGS:
        server, coldmail = case(imported, folder / f"{name}-{n}")
        with server:
            coldmail.spawn("--until-idle", environment=at(name, n))
            status = coldmail.wait()
            assert status in (0, 75, -signal.SIGKILL), coldmail.tail()
            assert status == -signal.SIGKILL or n > 1, f"{name} was not passed"
            finish(server, coldmail)
        if status != -signal.SIGKILL:
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


def test_killed_at_random_moments(tmp_path):
    """One store, many lives; opt-outs come in all the time."""
    chance = random.Random(KILLS)
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 30"]) as server, Coldmail(
        tmp_path, *sections(server.port, connections=4)
    ) as coldmail:
        people = addresses(12 * KILLS)
        coldmail.import_leads(people)
        opt_outs = OptOuts(coldmail, chance.sample(people, len(people) // 3))
        opt_outs.start()
        try:
            for _ in range(KILLS):
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
        assert ends["sent"] > 5 * KILLS and ends["uncertain"] > KILLS / 4, ends
        assert len(opt_outs.acknowledged) > KILLS


# ---- the oracle itself --------------------------------------------------------------------------

PLANTED = {
    "accepted 2 times": None,
    "accepted without an attempt": "DELETE FROM attempts WHERE _id LIKE '%lead%' OR slot IN (0, 1)",
    "but ['released']": "UPDATE attempts SET state = 'released' WHERE slot = 0 AND state = 'sent'",
    "never accepted": None,
    "after its opt-out": None,
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
        opt_outs = []
        if PLANTED[sentence]:
            with coldmail.database(write=True) as db:
                db.execute(PLANTED[sentence])
        elif sentence == "accepted 2 times":
            accepted.append(accepted[0])
        elif sentence == "never accepted":
            accepted.pop()
        else:
            opt_outs = [oracle.OptOut(accepted[-1].to[0], accepted[-1].ms - 1, [])]
        found = list(oracle.violations(coldmail, accepted, opt_outs))
        assert any(sentence in line for line in found), found
