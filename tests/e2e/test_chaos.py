"""Everything at once, by chance: opt-outs, holds, pauses, reloads, imports, stops and kills in the
middle of sending to a server in a mood. Afterwards the story has to be one story."""
import http.client
import os
import random
import signal
import time

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp

SECONDS = float(os.environ.get("COLDMAIL_CHAOS_SECONDS", "4"))
STEPS = ("intro", "nudge", "last")
RULES = [
    "on rcpt to *7@* do reply 550 5.1.1 No such user here",
    "on rcpt to *5@* every 2 do reply 450 4.2.2 Full",
    "on dot every 31 do accept then rst",
    "on dot every 37 do reply 451 4.3.0 Later",
    "on dot every 41 do rst",
    "on dot every 43 do reply 554 5.6.0 No",
    "on dot every 2 do delay 3",
]


class Chaos:
    def __init__(self, coldmail, server, chance):
        self.coldmail, self.server, self.chance = coldmail, server, chance
        self.people, self.opt_outs, self.settled = addresses(300), [], 0
        self.answers = 0

    def sections(self, connections=3, both=True, extra=True):
        boxes = (ALI, BEA) if both else (ALI,)
        return [
            *(mailbox(a, self.server.port, connections=connections) for a in (ALI, BEA)),
            campaign(mailboxes=boxes, steps=STEPS),
            *([campaign("extra", mailboxes=(BEA,), steps=STEPS[:2])] if extra else []),
        ]

    def call(self, command, **arguments):
        """The answer; None when there was none, or when it was a no."""
        try:
            control = self.coldmail.control()
            answer = control.call(command, **arguments)
        except (OSError, http.client.HTTPException, AssertionError, ValueError):
            return None
        finally:
            control.close()
        self.answers += 1
        return answer

    # ---- what may happen -----------------------------------------------------------------------

    def opt_out(self):
        address = self.chance.choice(self.people)
        answer = (
            self.call("suppress/add", patterns=[address])
            if self.chance.random() < 0.5
            else self.call("leads/stop", address=address, because="opted-out")
        )
        if answer:
            self.opt_outs.append(
                oracle.OptOut(address, time.time() * 1000, answer["in_transmission"])
            )

    def hold_and_release(self):
        address = self.chance.choice(self.people)
        self.call("leads/hold", address=address)
        self.call("leads/release", address=address)

    def pause_and_resume(self):
        what, name = self.chance.choice(
            [("all", ""), ("campaign", "founders"), ("mailbox", ALI), ("mailbox", BEA)]
        )
        self.call("pause", what=what, name=name)
        time.sleep(self.chance.uniform(0, 0.05))
        self.call("resume", what=what, name=name)

    def reload(self):
        self.coldmail.configure(
            *self.sections(
                self.chance.randint(1, 5), self.chance.random() < 0.7, self.chance.random() < 0.7
            )
        )
        self.coldmail.template(
            "intro", f"Subject: Hi {self.chance.random()}\n\nHi {{{{first_name|you}}}}.\n"
        )
        self.call("reload")

    def import_more(self):
        new = [f"more{len(self.people)}-{i}@take.example" for i in range(20)]
        rows = [
            {"line": i, "vars": {"email": a, "first_name": "Grace"}}
            for i, a in enumerate([*new, *self.chance.sample(self.people, 10)])
        ]
        self.call("leads/import", campaign=self.chance.choice(["founders", "extra"]), rows=rows)
        self.people += new

    def look(self):
        command, arguments = self.chance.choice(
            [
                ("status", {}),
                ("why", {}),
                ("why", {"subject": "founders"}),
                ("campaigns", {}),
                ("why", {"subject": self.chance.choice(self.people)}),
                ("sends", {"max": 50}),
                ("audit", {}),
                ("preview", {"campaign": "founders"}),
                ("leads/show", {"address": self.chance.choice(self.people)}),
                ("leads/list", {"state": "held"}),
            ]
        )
        self.call(command, **arguments)

    def settle(self):
        """An operator who looks into the server's list, after the server had the last word."""
        uncertain = (self.call("sends", outcome="uncertain", max=5) or {}).get("sends", [])
        time.sleep(0.05)
        came = {m.message_id for m in self.server.mails()}
        for attempt in uncertain:
            if self.call("resolve", id=attempt["id"], sent=attempt["message_id"] in came):
                self.settled += 1

    def restart(self):
        if self.chance.random() < 0.5:
            # A process so young that it does not listen to signals yet simply ends.
            assert self.coldmail.stop() in (0, -signal.SIGTERM), self.coldmail.tail()
        else:
            self.coldmail.kill()
        time.sleep(0.02)  # the server reads what was on its way to it
        self.coldmail.spawn()
        time.sleep(0.03)

    def run(self, seconds):
        actions = (
            [self.opt_out] * 8
            + [self.hold_and_release, self.look] * 3
            + [self.pause_and_resume, self.reload, self.import_more, self.settle, self.restart]
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.chance.choice(actions)()
            if self.coldmail.process.poll() is not None:
                assert self.coldmail.process.returncode in (0, -9), self.coldmail.tail()
                self.coldmail.spawn()


@pytest.mark.parametrize("seed", range(2))
def test_everything_at_once(seed, tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=RULES) as server, Coldmail(tmp_path) as coldmail:
        chaos = Chaos(coldmail, server, random.Random(seed))
        coldmail.configure(*chaos.sections())
        coldmail.import_leads(chaos.people)
        coldmail.start()
        chaos.run(SECONDS)
        assert coldmail.is_running()
        coldmail.stop()
        for what in (("all",), ("campaign", "founders"), ("mailbox", ALI), ("mailbox", BEA)):
            coldmail.ctl("resume", *what, status=None)
        server.set_rules()
        coldmail.configure(*chaos.sections())
        coldmail.fast_forward()
        oracle.check(coldmail, server.mails(), chaos.opt_outs)
        assert chaos.answers > 100 and chaos.settled and len(server.mails()) > 300
        open_ends = [s for s in coldmail.states() if s[0] in ("queued", "in_flight")]
        assert not open_ends, coldmail.states()
