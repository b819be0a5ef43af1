"""SIGKILL around the commit of an opt-out by link, and of a person's erasure: no answer says what is not
so, and asking again ends the same."""
import http.client
import os
import signal

import pytest

import oracle
from daemon import addresses
from unsubscribe import token_of, with_page

LEAD = "lead0@take.example"
SIDES = ["before_commit", "after_commit"]


@pytest.fixture(name="coldmail")
def make_coldmail(tmp_path, server):
    """It has written to LEAD and another, who are due another mail in two hours."""
    with with_page(tmp_path, server, test=True) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.run_until_idle()
        yield coldmail


def start_to_be_killed_at(coldmail, name):
    coldmail.start(environment={**os.environ, "COLDMAIL_FAILPOINT": f"{name}:1"})


@pytest.mark.parametrize("side", SIDES)
def test_case_48_killed_around_an_opt_out_by_link(side, coldmail, server):
    token = token_of(coldmail, LEAD)
    start_to_be_killed_at(coldmail, f"suppress_add.{side}")
    with pytest.raises((http.client.HTTPException, OSError)):
        coldmail.page.post(token)
    assert coldmail.wait() == -signal.SIGKILL
    stored = side == "after_commit"
    assert coldmail.count("SELECT count(*) FROM do_not_contact") == stored
    assert (coldmail.lead(LEAD)["reason"] == "opted_out") == stored
    coldmail.start()
    assert coldmail.page.post(token)[0].status == 200
    assert coldmail.stop() == 0
    assert coldmail.lead(LEAD)["status"] == "unsubscribed"
    coldmail.fast_forward()
    assert sum(m.to == [LEAD] for m in server.mails()) == 1
    assert len(server.mails()) == 3
    oracle.check(coldmail, server.mails())


@pytest.mark.parametrize("point", ["seal.before_write", "seal.before_rename", "seal.after_rename"])
def test_killed_between_an_opt_out_and_its_seal(point, coldmail, server):
    """The seal is behind or right, never ahead: the store is not taken for a copy, and nobody was told
    what the seal does not know."""
    token = token_of(coldmail, LEAD)
    start_to_be_killed_at(coldmail, point)
    with pytest.raises((http.client.HTTPException, OSError)):
        coldmail.page.post(token)
    assert coldmail.wait() == -signal.SIGKILL
    assert coldmail.lead(LEAD)["reason"] == "opted_out"
    coldmail.start()
    assert not coldmail.events("store_restored")
    assert coldmail.page.post(token)[0].status == 200
    assert coldmail.stop() == 0
    coldmail.fast_forward()
    assert sum(m.to == [LEAD] for m in server.mails()) == 1
    oracle.check(coldmail, server.mails())


@pytest.mark.parametrize("side", SIDES)
def test_killed_while_somebody_is_forgotten(side, coldmail, server):
    start_to_be_killed_at(coldmail, f"forget.{side}")
    coldmail.ctl("forget", LEAD, status=69)
    assert coldmail.wait() == -signal.SIGKILL
    gone = side == "after_commit"
    assert coldmail.count("SELECT count(*) FROM leads") == 2 - gone
    assert coldmail.count("SELECT count(*) FROM emails WHERE to_email <> ''") == 2 - gone
    assert coldmail.ctl("forget", LEAD)["scrubbed"]
    assert LEAD.encode() not in b"".join(
        f.read_bytes() for f in coldmail.folder.glob("store.db*")
    )
    coldmail.fast_forward()
    assert len(server.mails()) == 3
    assert coldmail.ctl("audit")["findings"] == []
