"""Case 17: a daemon that was killed or crashed, perhaps days ago, is told of by the next start."""
import shutil
import signal

import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from support import wait_until
from test_ctl import run


@pytest.fixture(name="coldmail")
def make_coldmail(tmp_path, server):
    with Coldmail(tmp_path / "run", mailbox(ALI, server.port), campaign()) as coldmail:
        yield coldmail


def ends(coldmail):
    return [e["instance"] for e in coldmail.events("unclean_end")]


def running(coldmail):
    rows = coldmail.rows("SELECT value FROM meta WHERE name = 'running'")
    return rows[0][0].split(" ")[1] if rows else None


def test_case_17_the_next_start_reports_the_unclean_end(coldmail):
    coldmail.start()
    assert not ends(coldmail) and "unclean_end" not in coldmail.status()
    killed = running(coldmail)
    coldmail.kill()
    # Whoever asks for the store alone is no run, and takes nothing back.
    coldmail.import_leads(addresses(1))
    assert running(coldmail) == killed
    coldmail.start()
    [event] = coldmail.events("unclean_end")
    assert event["instance"] == killed and event["level"] == "warning"
    status = coldmail.status()["unclean_end"]
    assert status["instance"] == killed and status["since"] == event["since"]
    assert "was killed or crashed" in run(coldmail, "status").stdout
    assert coldmail.stop() == 0
    assert running(coldmail) is None
    coldmail.start()
    assert ends(coldmail) == [killed] and "unclean_end" not in coldmail.status()
    assert "crashed" not in run(coldmail, "status").stdout


def test_case_17_work_until_idle_is_a_run_too(coldmail):
    coldmail.import_leads(addresses(1))
    assert coldmail.run_until_idle()[0] == 0
    assert running(coldmail) is None
    coldmail.ctl("pause", "all")
    coldmail.import_leads(addresses(2))
    coldmail.start()
    coldmail.process.send_signal(signal.SIGKILL)
    coldmail.wait()
    assert coldmail.run_until_idle()[0] == 75
    assert len(ends(coldmail)) == 1
    assert coldmail.run_until_idle()[0] == 75
    assert len(ends(coldmail)) == 1


def test_case_17_a_second_process_on_the_store_reports_nothing(coldmail, tmp_path, server):
    coldmail.start()
    with Coldmail(tmp_path / "second", mailbox(ALI, server.port), campaign()) as second:
        second.store = coldmail.store
        second.configure(mailbox(ALI, server.port), campaign())
        second.spawn()
        assert second.wait() == 75
        assert not ends(second)
    assert coldmail.stop() == 0
    assert running(coldmail) is None


@pytest.mark.parametrize("how", ["restored", "copied"])
def test_case_17_a_copy_of_a_store_that_ran_tells_of_no_end(coldmail, how):
    coldmail.import_leads(addresses(1))
    coldmail.start()
    coldmail.wait_sent(1)
    copy = coldmail.folder / "copy.db"
    coldmail.ctl("backup", str(copy))
    assert coldmail.stop() == 0
    if how == "restored":
        coldmail.ctl("restore", str(copy))
    else:
        shutil.move(copy, coldmail.store)
    coldmail.ctl("takeover")
    coldmail.start()
    assert not ends(coldmail)


@pytest.mark.parametrize("value", [None, "", "x", "-5 me", b"\x00\xff", "1 " + "x" * 100000])
def test_case_17_whatever_the_row_says(coldmail, value):
    coldmail.start()
    coldmail.kill()
    with coldmail.database(write=True) as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'running'", (value,))
    coldmail.start()
    wait_until(lambda: ends(coldmail), what="the report")
    run(coldmail, "status")
    assert coldmail.stop() == 0
