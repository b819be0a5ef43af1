"""No recipient domain gets more mails in any 24 hours than it may, whoever writes, whatever dies; and
whoever has to wait for that is told until when. The arithmetic here is done on the server's list."""
import collections
import os

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until

HOUR, DAY = 3600 * 1000, 86400 * 1000
SPACIOUS, SMALL, WEBMAIL = "spacious.example", "small.example", "gmail.com"


@pytest.fixture
def server(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as fake:
        yield fake


def sent_at(coldmail, domain):
    """When its mails ended, in order."""
    return [
        row["ended_at"]
        for row in coldmail.rows(
            "SELECT ended_at FROM attempts WHERE slot = 0 AND state IN ('sent', 'uncertain')"
            " AND to_email LIKE ? ORDER BY ended_at",
            f"%@{domain}",
        )
    ]


def most_in_a_day(times):
    return max(sum(1 for t in times if start <= t < start + DAY) for start in times)


def test_a_domain_gets_no_more_than_its_limit_in_any_day(server, tmp_path):
    """Of two campaigns and steps together; what has to wait goes out as soon as it may."""
    coldmail = Coldmail(
        tmp_path / "run",
        mailbox(ALI, server.port, connections=4),
        mailbox(BEA, server.port, gap="20min"),
        campaign("one", mailboxes=(ALI,), steps=("intro", "nudge"), after="1h", domain_daily_limit=3),
        campaign("two", mailboxes=(BEA,), domain_daily_limit=3),
    )
    coldmail.import_leads(addresses(7, SMALL) + addresses(2, SPACIOUS), "one")
    coldmail.import_leads([f"other{i}@{SMALL}" for i in range(3)], "two")
    assert coldmail.fast_forward()[0] == 0
    times = sent_at(coldmail, SMALL)
    assert len(times) == 17 and most_in_a_day(times) == 3
    assert times[-1] - times[0] < 6 * DAY, "somebody waited for nothing"
    assert len(sent_at(coldmail, SPACIOUS)) == 4
    # Two claims at once may think of the same place; one of them is let go.
    assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'released'") <= 17
    oracle.check(coldmail, server.mails())


def test_webmail_is_nobodys_domain_and_0_is_no_limit(server, tmp_path):
    for name, limit, domain in (("three", 3, WEBMAIL), ("none", 0, SMALL)):
        coldmail = Coldmail(
            tmp_path / name, mailbox(ALI, server.port), campaign(domain_daily_limit=limit)
        )
        coldmail.import_leads(addresses(9, domain))
        assert coldmail.fast_forward()[0] == 0
        times = sent_at(coldmail, domain)
        assert len(times) == 9 and times[-1] - times[0] < HOUR


def test_who_waits_is_told_until_when(server, tmp_path):
    with Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign(domain_daily_limit=2)
    ) as coldmail:
        coldmail.import_leads(addresses(5, SMALL))
        coldmail.start()
        held = "SELECT count(*) FROM leads WHERE state = 'held' AND reason = 'domain_daily_limit'"
        coldmail.wait_for(held, 3)
        # While the first two are under way, it is looked at again soon.
        until = sent_at(coldmail, SMALL)[0] + DAY
        coldmail.wait_for(f"{held} AND until = {until}", 3, seconds=40)
        lead = coldmail.rows("SELECT email FROM leads WHERE state = 'held'")[0]["email"]
        (why,) = [r for r in coldmail.ctl("why", lead) if r["reason"] == "domain_daily_limit"]
        assert why["until"] and "domain_daily_limit" in why["value"]
        assert coldmail.status()["held"] == {"domain_daily_limit": 3}
        assert coldmail.status()["status"] == "healthy", "that is expected"
        # A restart grants nothing, nor does a release.
        coldmail.kill()
        coldmail.start()
        coldmail.ctl("leads", "release", lead)
        wait_until(lambda: coldmail.lead(lead)["state"] == "held", what="it is held again")
        assert len(server.mails()) == 2


@pytest.mark.parametrize("where", ["dot.after", "outcome.before"])
def test_case_40_a_kill_grants_nothing(where, server, tmp_path):
    with Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign(domain_daily_limit=2), test=True
    ) as coldmail:
        coldmail.import_leads(addresses(6, SMALL))
        for _ in range(3):
            coldmail.spawn(environment=dict(os.environ, COLDMAIL_FAILPOINT=where))
            wait_until(
                lambda: not coldmail.is_running()
                or not coldmail.count("SELECT count(*) FROM leads WHERE state = 'queued'"),
                what="a kill, or nothing left to do",
            )
            coldmail.kill()
        coldmail.run_until_idle()
        tries = coldmail.rows("SELECT state FROM attempts WHERE slot = 0")
        counts = collections.Counter(row["state"] for row in tries)
        assert counts["sent"] + counts["uncertain"] == 2
        assert len(server.mails()) <= 2
        oracle.check(coldmail, server.mails())
