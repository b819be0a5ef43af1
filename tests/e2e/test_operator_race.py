"""An operator's hold, release and stop while the lead's mail waits for its server: in the greeting, at
each verb, at the dot. Whatever is said when, the step goes out once at most, and the lead ends where the
last word put it."""
import json
import time

import pytest

import oracle
from daemon import ALI, Coldmail, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

LEAD = "lead0@take.example"
DAY = 24 * 60 * 60 * 1000
SLOW_MS = 700
VERBS = ("connect", "ehlo", "mail", "rcpt", "data", "body", "dot")
BEFORE_RESERVING = ("connect", "ehlo")
# The server takes its time over the body when all of it and its dot are on the way.
PAST_SLOT = ("body", "dot")
WORDS = {"h": "hold", "r": "release", "s": "stop"}


class Race:
    """One lead whose mail is on its way, and waits at VERB."""

    def __init__(self, folder, verb, steps=("intro", "nudge")):
        rule = f"on {verb} times 1 do delay {SLOW_MS}"
        self.verb, self.server = verb, FakeSmtp(folder / "smtp", "--verbose", rules=[rule])
        self.coldmail = Coldmail(
            folder / "run",
            mailbox(ALI, self.server.port),
            campaign(steps=steps, after="9d"),
        )

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.coldmail.kill()
        self.server.stop()

    def begin(self):
        """Returns when the server has been told what it is slow at."""
        self.coldmail.import_leads([LEAD])
        self.coldmail.start()
        if self.verb in BEFORE_RESERVING:
            wait_until(lambda: self.server.summary()["connections"], what="a connection")
            self.coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'in_flight'", 1)
        else:
            self.coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 0", 1)
        if self.verb in PAST_SLOT:
            taken = "SELECT count(*) FROM attempts WHERE state = 'transmitting'"
            self.coldmail.wait_for(taken, 1)

    def say(self, word, **more):
        """(is it done, answer); over the socket, or some of the time is spent on starting programs"""
        control = self.coldmail.control()
        body = json.dumps({"address": LEAD, **more})
        control.request("POST", f"/v1/leads/{word}", body, {"Content-Type": "application/json"})
        response = control.getresponse()
        answer = json.loads(response.read())
        control.close()
        return response.status == 200, answer

    def rest(self):
        """Until nothing is on its way."""
        open_ = (
            "SELECT (SELECT count(*) FROM attempts WHERE state = 'reserved')"
            " + (SELECT count(*) FROM leads WHERE state = 'in_flight')"
        )
        time.sleep(SLOW_MS / 1000 + 0.1)  # what is waited for is over
        self.coldmail.wait_for(open_, 0)

    def end(self, opt_outs=()):
        assert self.coldmail.stop() == 0
        assert not self.coldmail.events("reserve_refused"), "nobody else is there"
        oracle.check(self.coldmail, self.server.mails(), opt_outs)

    def lead(self):
        return self.coldmail.lead(LEAD)


@pytest.mark.parametrize("verb", VERBS)
def test_a_hold_keeps_the_lead_and_a_release_lets_it_go_on(verb, tmp_path):
    """Past its slot the mail is out, and the lead goes on with the step after it in its time."""
    with Race(tmp_path, verb) as race:
        race.begin()
        done, answer = race.say("hold")
        assert done and len(answer["in_transmission"]) == (verb in PAST_SLOT), answer
        race.rest()
        lead = race.lead()
        assert (lead["state"], lead["reason"]) == ("held", "operator")
        assert len(race.server.mails()) == (verb in PAST_SLOT) == lead["n_sent"]
        assert race.say("release")[0]
        race.coldmail.wait_for("SELECT count(*) FROM leads WHERE n_sent = 1", 1)
        race.coldmail.wait_for("SELECT count(*) FROM leads WHERE state = 'queued' AND step = 'nudge'", 1)
        sent_at = race.coldmail.count("SELECT sent_at FROM emails WHERE step = 'intro'")
        assert race.lead()["due"] == pytest.approx(sent_at + 9 * DAY, abs=2000)
        race.end()
        assert len(race.server.mails()) == 1
        race.coldmail.fast_forward()
        assert len(race.server.mails()) == 2
        oracle.check(race.coldmail, race.server.mails())


@pytest.mark.parametrize("verb", ["connect", "rcpt", "dot"])
def test_a_mail_held_at_the_last_step_is_completed_by_the_release(verb, tmp_path):
    with Race(tmp_path, verb, steps=("intro",)) as race:
        race.begin()
        race.say("hold")
        race.rest()
        assert race.say("release")[0]
        race.coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'completed'", 1)
        race.end()
        assert len(race.server.mails()) == 1


@pytest.mark.parametrize("because", ["", "replied", "opted-out"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_stop_is_the_last_word(verb, because, tmp_path):
    """Only a mail at its dot goes out, and the answer names it."""
    with Race(tmp_path, verb) as race:
        race.begin()
        done, answer = race.say("stop", **({"because": because} if because else {}))
        said = oracle.OptOut(LEAD, time.time() * 1000, answer["in_transmission"])
        assert done and len(said.taken) == (verb in PAST_SLOT), answer
        race.rest()
        ended = {"": "stopped", "replied": "lead_replied", "opted-out": "opted_out"}
        lead = race.lead()
        assert (lead["state"], lead["reason"]) == ("ended", ended[because])
        race.end([said])
        race.coldmail.fast_forward()
        assert len(race.server.mails()) == (verb in PAST_SLOT) == lead["n_sent"]
        oracle.check(race.coldmail, race.server.mails(), [said])


# h, r, s: hold, release, stop; all of them while the server takes its time.
@pytest.mark.parametrize("words", ["hrs", "hr", "hrhrh", "hsr", "sr", "rs"])
@pytest.mark.parametrize("verb", ["connect", "mail", "rcpt", "data", "dot"])
def test_words_in_any_order_while_the_server_is_slow(verb, words, tmp_path):
    """A release of a lead whose mail is on its way is refused, and can be said again."""
    with Race(tmp_path, verb) as race:
        race.begin()
        last = None
        for word in words:
            done, answer = race.say(WORDS[word])
            assert done or ("under way" if word == "r" else "has ended") in answer["error"], answer
            last = word if done else last
        race.rest()
        lead = race.lead()
        if last == "s":
            assert (lead["state"], lead["reason"]) == ("ended", "stopped"), dict(lead)
            assert len(race.server.mails()) == (verb in PAST_SLOT)
        elif last == "h":
            assert (lead["state"], lead["reason"]) == ("held", "operator"), dict(lead)
            assert len(race.server.mails()) == (verb in PAST_SLOT)
        else:
            race.coldmail.wait_for("SELECT count(*) FROM leads WHERE step = 'nudge'", 1)
            assert len(race.server.mails()) == 1
        race.end()
        assert len(race.server.mails()) == race.lead()["n_sent"]
        assert len(race.server.mails()) <= 1
        tries = [r["state"] for r in race.coldmail.rows("SELECT state FROM attempts WHERE slot = 0")]
        assert len(tries) <= 3, tries
