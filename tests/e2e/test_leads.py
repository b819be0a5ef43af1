"""Leads over time: imported again, during sending, into another campaign, late, incomplete."""
import threading

import oracle
from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp

DAY = 86400 * 1000


def test_an_import_that_is_repeated_mails_nobody_again(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        for _ in range(3):
            answer = coldmail.import_leads(addresses(10))
            coldmail.run_until_idle()
        assert answer["duplicate"] == 10 and answer["added"] == 0
        assert sorted(m.to[0] for m in server.mails()) == addresses(10)
        # Other values for somebody who was written to change the values, not the past.
        coldmail.import_leads([{"email": a, "first_name": "Grace"} for a in addresses(10)])
        coldmail.run_until_idle()
        assert len(server.mails()) == 10 and coldmail.lead(addresses(1)[0])["first_name"] == "Grace"
        oracle.check(coldmail, server.mails())


def test_case_63_imports_during_sending_lose_nobody_and_double_nobody(tmp_path):
    people = addresses(1200)
    with FakeSmtp(tmp_path / "smtp", rules=["on dot every 3 do delay 3"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port, connections=3), campaign()
    ) as coldmail:
        coldmail.import_leads(people[:100])
        coldmail.start()
        control = coldmail.control()
        for start in range(0, len(people), 50):
            rows = [
                {"line": i + 1, "vars": {"email": a, "company": f"{start}"}}
                for i, a in enumerate(people[max(0, start - 50) : start + 50])
            ]
            answer = control.call("leads/import", campaign="founders", rows=rows)
            assert len(answer["rows"]) == len(rows)
        coldmail.wait_sent(len(people))
        assert coldmail.stop() == 0
        assert sorted(m.to[0] for m in server.mails()) == sorted(people)
        oracle.check(coldmail, server.mails())


def test_whom_another_campaign_wrote_to_is_not_written_to(tmp_path):
    """recontact_after = never: not by a renamed campaign, not by another one at the same time."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign("first"))
        coldmail.import_leads(addresses(5), "first")
        coldmail.run_until_idle()
        coldmail.configure(mailbox(ALI, server.port), campaign("renamed"))
        coldmail.import_leads(addresses(7), "renamed")
        coldmail.run_until_idle()
        assert sorted(m.to[0] for m in server.mails()) == addresses(7)
        oracle.check(coldmail, server.mails())
        # The guard is the ledger's, not the lead's: it outlives the lead.
        with coldmail.database(write=True) as db:
            db.execute(
                "DELETE FROM leads WHERE email IN ('lead0@take.example', 'lead6@take.example')"
            )
        coldmail.import_leads(addresses(7), "renamed")
        coldmail.run_until_idle()
        assert len(server.mails()) == 7


def test_recontact_after_opens_again_after_that_time(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port),
            campaign("first"),
            campaign("second", recontact_after="30d"),
        )
        coldmail.import_leads(addresses(4), "first")
        coldmail.run_until_idle()
        answer = coldmail.import_leads(addresses(4), "second")
        assert answer["added"] + answer["updated"] == 0
        with coldmail.database(write=True) as db:  # two of them 31 days ago
            db.execute(
                "UPDATE emails SET sent_at = sent_at - ? WHERE to_email < 'lead2'", (31 * DAY,)
            )
        coldmail.import_leads(addresses(4), "second")
        coldmail.run_until_idle()
        assert sorted(m.to[0] for m in server.mails())[:4] == sorted(addresses(2) * 2)
        assert len(server.mails()) == 6


def test_a_follow_up_that_is_too_late_is_dropped_with_its_reason(tmp_path):
    """expire_after counts from the due time; a first mail may wait its turn for ever."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path,
            mailbox(ALI, server.port),
            campaign(steps=("intro", "nudge"), after="2h", expire_after="14d"),
        )
        coldmail.import_leads(addresses(2))
        coldmail.run_until_idle()
        coldmail.import_leads(addresses(3))
        with coldmail.database(write=True) as db:
            db.execute(
                "UPDATE leads SET due = due - ? WHERE email <> 'lead1@take.example'", (15 * DAY,)
            )
        assert coldmail.fast_forward()[0] == 0
        assert coldmail.lead("lead0@take.example")["reason"] == "overdue_expired"
        assert (
            sorted(m.to[0] for m in server.mails())
            == ["lead0@take.example"] + ["lead1@take.example"] * 2 + ["lead2@take.example"] * 2
        )
        assert coldmail.lead("lead0@take.example")["status"] == "sent"
        oracle.check(coldmail, server.mails())


def test_a_first_mail_that_is_refused_for_two_weeks_is_given_up(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot to lead0@* do reply 451 Later"]) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign(expire_after="14d"))
        coldmail.import_leads(addresses(2))
        assert coldmail.fast_forward()[0] == 0
        assert coldmail.states() == {("ended", "completed"): 1, ("ended", "overdue_expired"): 1}
        assert 6 <= coldmail.count("SELECT count(*) FROM attempts WHERE state = 'refused'") <= 8
        assert coldmail.lead("lead0@take.example")["status"] == "failed"
        oracle.check(coldmail, server.mails())


def test_what_is_missing_is_held_until_an_import_brings_it(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.template("intro", "Subject: For {{company}}\n\nHi.\n")
        coldmail.import_leads([{"email": a, "company": "None"} for a in addresses(2)])
        coldmail.import_leads(["orphan@take.example"], name="")
        assert coldmail.run_until_idle()[0] == 75
        held = coldmail.ctl("leads", "list", "--state", "held")
        assert {(l["email"], l["reason"]) for l in held} == {
            ("lead0@take.example", "missing_field"),
            ("lead1@take.example", "missing_field"),
            ("orphan@take.example", "no_campaign"),
        }
        assert "company" in coldmail.lead("lead0@take.example")["error_message"]
        coldmail.import_leads(
            [
                {"email": "lead0@take.example", "company": "Acme"},
                {"email": "orphan@take.example", "company": "Beta"},
            ]
        )
        assert coldmail.run_until_idle()[0] == 75
        assert sorted(m.to[0] for m in server.mails()) == [
            "lead0@take.example",
            "orphan@take.example",
        ]
        assert coldmail.states() == {("ended", "completed"): 2, ("held", "missing_field"): 1}
        oracle.check(coldmail, server.mails())


def test_a_template_that_changed_writes_waiting_drafts_again(tmp_path):
    """But not the one that was reserved: its bytes are fixed."""
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do reply 451 Later"]) as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port, gap="1h", daily_limit=100), campaign()
        )
        coldmail.import_leads(addresses(6))
        coldmail.spawn()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'refused'", 1)
        coldmail.stop()
        coldmail.template("intro", "Subject: Rewritten\n\nHi.\n")
        assert coldmail.fast_forward()[0] == 0
        subjects = sorted(
            server.data(m).split(b"Subject: ")[1].split(b"\r\n")[0] for m in server.mails()
        )
        assert subjects == [b"Rewritten"] * 5 + [b"intro for you"]
        oracle.check(coldmail, server.mails())


def test_suppressions_imported_during_sending_hold_at_once(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 3"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(400))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) > 20 FROM attempts WHERE state = 'sent'", 1)
        threads = [
            threading.Thread(
                target=coldmail.ctl, args=("suppress", "add", f"lead{i}9{i}@take.example")
            )
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answer = coldmail.ctl("suppress", "add", "take.example")
        taken = len(answer["in_transmission"])
        sent = len(server.mails())
        coldmail.wait_for("SELECT count(*) FROM leads WHERE state <> 'ended'", 0)
        assert len(server.mails()) <= sent + taken
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_who_debugs_sees_where_a_lead_went(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, mailbox(ALI, server.port), campaign(), "log { level = debug }\n"
        )
        coldmail.import_leads(["a@take.example"])
        coldmail.run_until_idle()
        coldmail.ctl("leads", "stop", "a@take.example", "--because", "replied")
        coldmail.ctl("leads", "release", "a@take.example", "--dry-run")
        went = [(e["from"], e["to"], e.get("why")) for e in coldmail.events("lead_state")]
        assert went[0] == ("queued", "in_flight", "claimed")
        assert went[-1] == ("in_flight", "ended", "completed")
        assert all(before[1] == after[0] for before, after in zip(went, went[1:]))
        assert not coldmail.events("lead_move_refused")
