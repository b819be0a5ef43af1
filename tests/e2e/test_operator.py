"""What an operator presses, and signals: pause and resume, start, reload, stop, a second daemon."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import socket
import time

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until


HOUR = 3600 * 1000


def binding(coldmail, *subject):
    return [r["reason"] for r in coldmail.ctl("why", *subject) if r["binds"]]


# ---- pause and resume ---------------------------------------------------------------------------


def test_a_pause_that_was_acknowledged_is_kept(tmp_path):
    """Again and again in the middle of sending: nothing follows but what the answer named."""
    with FakeSmtp(tmp_path / "smtp", rules=["on dot every 2 do delay 2"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, connections=3), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(3000))
        coldmail.start()
        control = coldmail.control()
        named = 0
        for what, name in [("all", ""), ("campaign", "founders"), ("mailbox", ALI)] * 12:
            wait_until(
                lambda: coldmail.count("SELECT count(*) FROM attempts WHERE state = 'reserved'"),
                what="mails are under way",
            )
            answer = control.call("pause", what=what, name=name)
            acknowledged = time.time() * 1000
            named += len(answer["in_transmission"])
            taken = {
                r[0]
                for r in coldmail.rows(
                    "SELECT message_id FROM attempts WHERE slot = 0 AND key || '#' || n IN"
                    " (SELECT value FROM json_each(?))",
                    json.dumps(answer["in_transmission"]),
                )
            }
            time.sleep(0.03)
            late = {m.message_id for m in server.mails() if m.ms > acknowledged}
            assert late <= taken
            control.call("resume", what=what, name=name)
        assert named
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_a_pause_survives_a_restart_and_why_names_it(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(3))
        for what, reason in [
            (("all",), "campaign_paused"),
            (("campaign", "founders"), "campaign_paused"),
            (("mailbox", ALI), "mailbox_paused"),
        ]:
            coldmail.ctl("pause", *what)
            coldmail.start()
            assert binding(coldmail) == [reason]
            coldmail.kill()
            coldmail.start()
            assert binding(coldmail) == [reason] and not server.mails()
            coldmail.stop()
            coldmail.ctl("resume", *what)
        assert coldmail.run_until_idle()[0] == 0 and len(server.mails()) == 3


def test_status_says_what_a_mailbox_waits_for(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, daily_limit=1), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        coldmail.wait_sent(1)
        status = coldmail.status()
        (box,) = status["mailboxes"]
        assert (box["state"], box["why"]) == ("waiting", "mailbox_daily_limit")
        assert status["scheduler"]["next_due"] == box["until"] > status["now"]
        assert status["campaigns"][0]["next_due"] == status["now"]


def test_until_idle_names_a_campaign_that_was_not_started_although_it_is_empty(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(start="manual"))
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "coldmailctl start founders" in summary


def test_a_check_warns_of_a_store_that_cannot_be_opened(tmp_path):
    coldmail = Coldmail(tmp_path, mailbox(ALI, 25), campaign())

    def check():
        coldmail.spawn("--check")
        assert coldmail.wait() == 0
        return coldmail.tail()

    assert "warning" not in check() and not coldmail.store.exists()
    text = coldmail.conf.read_text()
    assert str(coldmail.store) in text
    coldmail.conf.write_text(text.replace(str(coldmail.store), f"{tmp_path}/none/coldmail.db"))
    coldmail.conf.write_text("# by hand\n" + coldmail.conf.read_text())
    assert f"{coldmail.conf}:2: warning: store: the directory {tmp_path}/none: " in check()
    included = tmp_path / "store.conf"
    included.write_text(f'\n\nstore = "sqlite:{tmp_path}/none/coldmail.db"\n')
    rest = coldmail.conf.read_text().partition("\n")[2].partition("\n")[2]
    coldmail.conf.write_text(f'include "{included}"\n{rest}')
    assert f"{included}:3: warning: store: " in check()
    assert not (tmp_path / "none").exists()


def test_the_log_says_who_changed_what(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        coldmail.ctl("pause", "mailbox", ALI)
        pause = coldmail.events("control")[0]
        assert (pause["command"], pause["subject"], pause["uid"]) == ("pause", ALI, os.getuid())


def test_hold_and_release(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(2))
        coldmail.ctl("leads", "hold", "LEAD0@take.example")
        assert coldmail.run_until_idle()[0] == 75
        assert [m.to[0] for m in server.mails()] == ["lead1@take.example"]
        assert coldmail.states() == {("held", "operator"): 1, ("ended", "completed"): 1}
        coldmail.ctl("leads", "release", "lead0@take.example")
        assert coldmail.run_until_idle()[0] == 0
        oracle.check(coldmail, server.mails())


# ---- reload -------------------------------------------------------------------------------------


def test_a_reload_changes_what_is_next_and_a_bad_file_changes_nothing(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="1h"), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(6))
        coldmail.start()
        coldmail.wait_sent(1)
        good = coldmail.conf.read_text()

        coldmail.conf.write_text(
            good + "gap = 1h\nmailbox {\n"
        )  # case 59: an unknown key, and worse
        done = coldmail.ctl("reload", status=None)
        line = len(good.splitlines()) + 1
        assert done.returncode == 78 and f"{coldmail.conf}:{line}: " in done.stdout + done.stderr
        coldmail.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: [e for e in coldmail.events("config_reload") if not e["ok"]],
            what="a word about the bad file",
        )
        problems = coldmail.events("config_problem")
        assert (problems[0]["file"], problems[0]["line"]) == (str(coldmail.conf), str(line))
        assert all(p["text"] for p in problems)
        assert coldmail.events("config_reload")[-1]["problems"] > 0
        health = coldmail.status()
        assert health["status"] == "degraded"
        assert f"the last reload failed: {coldmail.conf}:{line}: " in health["reasons"][0]
        assert binding(coldmail) == ["mailbox_gap"]

        coldmail.template("intro", "Subject: {{unclosed\n\nHi.\n")
        coldmail.conf.write_text(good)
        done = coldmail.ctl("reload", status=None)
        assert done.returncode == 78 and "intro.tmpl:1" in done.stdout + done.stderr
        coldmail.template("intro", "Subject: A new one\n\nHi.\n")

        coldmail.configure(mailbox(ALI, server.port, gap="0s"), campaign())
        assert coldmail.ctl("reload")
        assert coldmail.status()["reasons"] == []
        coldmail.wait_sent(6)
        assert coldmail.stop() == 0
        subjects = [server.data(m).split(b"Subject: ")[1].split(b"\r\n")[0] for m in server.mails()]
        assert subjects == [b"intro for you"] + [b"A new one"] * 5
        oracle.check(coldmail, server.mails())


def test_case_26_leads_of_a_removed_campaign_wait_for_it(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="1h"), campaign(), campaign("other")
    ) as coldmail:
        coldmail.import_leads(addresses(5))
        coldmail.import_leads(addresses(3, "other.example"), "other")
        coldmail.start()
        coldmail.wait_sent(1)
        coldmail.configure(mailbox(ALI, server.port, gap="0s"), campaign("other"))
        coldmail.process.send_signal(signal.SIGHUP)
        coldmail.wait_for(
            "SELECT count(*) FROM leads WHERE campaign = 'other' AND state = 'ended'", 3
        )
        waiting = coldmail.count(
            "SELECT count(*) FROM leads WHERE campaign = 'founders' AND state = 'queued'"
        )
        assert waiting >= 4
        assert "gone" in [c["state"] for c in coldmail.ctl("campaigns")]
        assert coldmail.stop() == 0
        assert coldmail.run_until_idle()[0] == 75
        coldmail.configure(mailbox(ALI, server.port), campaign(), campaign("other"))
        assert coldmail.run_until_idle()[0] == 0 and len(server.mails()) == 8
        oracle.check(coldmail, server.mails())


def test_a_reload_keeps_what_only_a_start_can_change(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.start()
        text = coldmail.conf.read_text()
        store = f'store = "sqlite:{tmp_path / "other.db"}"  stop_timeout = 9s'
        coldmail.conf.write_text(store + "\n" + text.partition("\n")[2])
        answer = coldmail.ctl("reload")
        assert answer["changes"] == ["~ stop_timeout 1min -> 9s"] and not answer["questions"]
        [warning] = [w for w in answer["warnings"] if "next start" in w]
        assert warning.startswith(f"{coldmail.conf}:1: store = ")
        [line] = coldmail.events("config_warning")
        assert line["text"] == warning
        assert coldmail.ctl("version")["store"]["path"] == f"sqlite:{coldmail.store}"
        coldmail.import_leads(addresses(1))
        coldmail.wait_sent(1)
        assert not (tmp_path / "other.db").exists()
        assert len([w for w in coldmail.ctl("reload")["warnings"] if "next start" in w]) == 1


def test_a_reload_asks_about_names_that_are_gone(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(steps=("intro", "nudge"), after="1d")
    ) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(1))
        coldmail.wait_sent(1)
        coldmail.configure(mailbox(ALI, server.port), campaign(steps=("intro", "last"), after="1d"))
        [question] = coldmail.ctl("reload", "--dry-run")["questions"]
        assert 'step "nudge" is gone, and "last" is new: was it renamed?' in question
        assert coldmail.ctl("reload")["questions"] == [question]
        coldmail.configure(mailbox(ALI, server.port), campaign("starters", steps=("intro", "last")))
        coldmail.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(coldmail.events("config_question")) == 2, what="the question")
        said = coldmail.events("config_question")[1]["text"]
        assert 'campaign "founders" is gone, and "starters" is new: was it renamed?' in said
        assert coldmail.ctl("reload")["questions"] == []


def test_a_removed_mailbox_finishes_its_mail(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do delay 700"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(4))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        coldmail.configure(mailbox(BEA, server.port), campaign(mailboxes=(BEA,)))
        coldmail.ctl("reload")
        coldmail.wait_sent(4)
        assert coldmail.stop() == 0
        assert [m.sender for m in server.mails()].count(ALI) == 1
        oracle.check(coldmail, server.mails())


def test_case_14_leads_of_a_removed_mailbox_go_from_another_but_for_answers(tmp_path):
    """Who has had no mail from it is written to by another one; a thread waits, and `why` says so."""
    with FakeSmtp(
        tmp_path / "smtp", rules=["on rcpt to lead0@* times 1 do reply 451 4.7.1 Greylisted"]
    ) as server:

        def sections(*addresses):
            steps = campaign(mailboxes=addresses, steps=("intro", "nudge"), after="2h")
            return *(mailbox(a, server.port) for a in addresses), steps

        with Coldmail(tmp_path, *sections(ALI)) as coldmail:
            coldmail.import_leads(addresses(2))
            coldmail.start()
            coldmail.wait_sent(1)
            coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'smtp_deferred'", 1)
            coldmail.configure(*sections(BEA))
            coldmail.ctl("reload")
            with coldmail.database(write=True) as db:
                db.execute("UPDATE leads SET until = min(until, 1), due = due - ?", (2 * HOUR,))
            coldmail.import_leads(addresses(2))  # nothing new, but it makes the daemon look
            coldmail.wait_sent(2)
            assert [m.sender for m in server.mails()] == [ALI, BEA]
            wait_until(
                lambda: "thread_mailbox_unavailable" in [r["reason"] for r in coldmail.ctl("why")],
                what="why says so",
            )
            assert binding(coldmail) == ["step_not_due"]  # of the other one
            assert binding(coldmail, "lead1@take.example") == ["thread_mailbox_unavailable"]
            assert f"1 lead waits for {ALI}" in str(coldmail.status()["reasons"])
            assert coldmail.stop() == 0
            assert coldmail.run_until_idle()[0] == 75
            coldmail.configure(*sections(BEA, ALI))
            assert coldmail.run_until_idle()[0] == 0
            assert [m.sender for m in server.mails()] == [ALI, BEA, ALI]
            oracle.check(coldmail, server.mails())


def test_case_14_a_mail_that_may_be_out_goes_from_no_other_mailbox(tmp_path):
    with FakeSmtp(
        tmp_path / "smtp", rules=["on dot times 1 do reply 451 4.7.1 Greylisted"]
    ) as server, Coldmail(tmp_path, mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'smtp_deferred'", 1)
        assert coldmail.stop() == 0
        coldmail.configure(mailbox(BEA, server.port), campaign(mailboxes=(BEA,)))
        with coldmail.database(write=True) as db:
            db.execute("UPDATE leads SET until = 1")
        status, summary = coldmail.run_until_idle()
        assert status == 75 and "thread_mailbox_unavailable" in summary
        with coldmail.database(write=True) as db:  # somebody forgets where it was
            db.execute("UPDATE leads SET mailbox = ''")
        assert coldmail.run_until_idle()[0] == 75
        assert coldmail.states() == {("held", "thread_unknown"): 1} and not server.mails()
        oracle.check(coldmail, server.mails())


# ---- stop ---------------------------------------------------------------------------------------


def slow_dot(coldmail, server, ms):
    """One mail is past its dot, and the server takes its time."""
    server.set_rules(f"on dot do delay {ms}")
    coldmail.import_leads(addresses(3))
    coldmail.start()
    coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)


def test_case_09_a_stop_waits_for_the_word_on_a_mail_past_its_dot(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        slow_dot(coldmail, server, 700)
        assert coldmail.stop() == 0
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'sent'") == 1
        assert len(server.mails()) == 1
        oracle.check(coldmail, server.mails())
        server.set_rules()
        assert coldmail.run_until_idle()[0] == 0 and len(server.mails()) == 3


def test_a_stop_ends_after_stop_timeout_and_calls_it_uncertain(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, "stop_timeout = 300ms\n", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        slow_dot(coldmail, server, 60000)
        assert coldmail.stop(5) == 0
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'") == 1
        assert coldmail.ctl("sends", "--outcome", "uncertain")[0]["to"]
        server.set_rules()
        assert coldmail.run_until_idle()[0] == 75 and len(server.mails()) == 2
        oracle.check(coldmail, server.mails())


def test_a_second_signal_ends_it_now_and_the_ledger_holds(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        slow_dot(coldmail, server, 60000)
        coldmail.process.send_signal(signal.SIGTERM)
        wait_until(lambda: coldmail.events("draining"), what="the first signal is heard")
        assert coldmail.status()["scheduler"]["running"] is False
        coldmail.process.send_signal(signal.SIGINT)
        assert coldmail.wait(2) == 0
        server.set_rules()
        assert coldmail.run_until_idle()[0] == 75
        assert coldmail.count("SELECT count(*) FROM attempts WHERE state = 'uncertain'") == 1
        oracle.check(coldmail, server.mails())


# ---- one store ----------------------------------------------------------------------------------


def test_case_13_a_second_daemon_on_the_store_exits_75_and_sends_nothing(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="1h"), campaign()
    ) as first:
        first.import_leads(addresses(5))
        first.start()
        first.wait_sent(1)
        second = Coldmail(tmp_path / "second", mailbox(ALI, server.port), campaign())
        second.store = first.store
        second.configure(mailbox(ALI, server.port), campaign())
        second.spawn()
        assert second.wait(10) == 75 and "another process uses this store" in second.tail()
        assert len(server.mails()) == 1 and first.is_running()
        first.kill()  # a lock that dies with its holder
        assert second.run_until_idle()[0] == 0 and len(server.mails()) == 5
        oracle.check(second, server.mails())


def test_a_store_of_a_newer_version_is_left_alone(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(1))
        with coldmail.database(write=True) as db:
            db.execute("UPDATE meta SET value = 999 WHERE name = 'schema'")
        before = coldmail.store.read_bytes()
        coldmail.spawn()
        assert coldmail.wait(10) == 78 and "made by a newer coldmail" in coldmail.tail()
        assert coldmail.store.read_bytes() == before and not server.mails()


# ---- a start ------------------------------------------------------------------------------------


def test_case_20_leases_of_a_dead_process_are_taken_back(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(addresses(600))
        with coldmail.database(write=True) as db:
            db.execute("UPDATE leads SET state = 'in_flight', claimed_by = 'host:1:dead'")
        assert coldmail.run_until_idle()[0] == 0 and len(server.mails()) == 600
        oracle.check(coldmail, server.mails())


def test_case_59_unknown_keys_and_bad_values_end_the_start_with_their_lines(tmp_path):
    coldmail = Coldmail(tmp_path, 'mailbox "x" { smpt = "smtp://127.0.0.1" }\ndaily_limit = many\n')
    for arguments in ([], ["--check"], ["--until-idle"]):
        coldmail.log.unlink(missing_ok=True)
        coldmail.spawn(*arguments)
        assert coldmail.wait(10) == 78
        assert "smpt" in coldmail.tail() and "daily_limit" in coldmail.tail()
    assert not coldmail.store.exists()


def test_an_idle_daemon_hardly_wakes_up(tmp_path):
    """With leads that wait for a gap: at most 5 wake-ups a second."""
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, gap="1h"), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(100))
        coldmail.start()
        coldmail.wait_sent(1)
        time.sleep(0.3)
        process = pathlib.Path(f"/proc/{coldmail.process.pid}")

        def is_ours(task):  # a sanitizer's own thread has no name of its own
            return task.name == process.name or task.joinpath("comm").read_text() != "coldmail\n"

        def switches():
            return sum(
                int(line.split()[1])
                for task in filter(is_ours, process.glob("task/*"))
                for line in task.joinpath("status").read_text().splitlines()
                if line.startswith("voluntary_ctxt_switches")
            )

        before = switches()
        time.sleep(2)
        assert switches() - before <= 10
        assert coldmail.stop() == 0


def test_requests_that_come_while_it_stops_do_not_break_the_stop(tmp_path):
    """Clients that never wait for an answer have the next request on its way at any moment."""
    request = b"POST /v1/campaigns HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"

    def flood(client):
        out = b""
        with client, contextlib.suppress(OSError):
            while True:
                out = out or request * 20
                with contextlib.suppress(BlockingIOError):
                    out = out[client.send(out) :]
                with contextlib.suppress(BlockingIOError):
                    client.recv(1 << 16)

    with Coldmail(tmp_path, mailbox(port=1), campaign(start="manual")) as coldmail:
        coldmail.import_leads(addresses(20))
        coldmail.start()
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for _ in range(3):
                client = socket.socket(socket.AF_UNIX)
                client.connect(str(coldmail.socket))
                client.setblocking(False)
                pool.submit(flood, client)
            time.sleep(0.3)
            assert coldmail.stop() == 0
