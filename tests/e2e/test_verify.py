"""Does the lead's domain take mail? Asked of a name server before a mail is written; here of one
that says what the test wants, through the running daemon."""
import datetime

import oracle
from daemon import ALI, Coldmail, campaign, mailbox
from fake_dns import FakeDns
from fake_smtp import FakeSmtp
from support import wait_until


def verify(dns, mx="yes"):
    return f'verify {{ mx = {mx}  resolver = "127.0.0.1:{dns.port}" }}\n'


def clock(stamp):
    return datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))


def held(coldmail):
    return {
        row["email"]: row["reason"]
        for row in coldmail.rows("SELECT email, reason FROM leads WHERE state = 'held'")
    }


def test_case_33_what_takes_no_mail_is_held_before_anything_is_written_for_it(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns(
        good_example=["mx.good.example"],
        old_example="address",
        six_example="address6",
        null_example="null",
        empty_example="empty",
    ) as dns:
        coldmail = Coldmail(tmp_path, verify(dns), mailbox(ALI, server.port), campaign())
        domains = ("good", "old", "six", "null", "empty", "gone")
        coldmail.import_leads([f"ada@{domain}.example" for domain in domains])
        coldmail.run_until_idle()
        assert sorted(m.to[0] for m in server.mails()) == [
            "ada@good.example",
            "ada@old.example",
            "ada@six.example",
        ]
        assert held(coldmail) == {
            f"ada@{domain}.example": "verify_invalid" for domain in ("null", "empty", "gone")
        }
        why = {e["to"]: e["why"] for e in coldmail.events("held")}
        assert "null MX" in why["ada@null.example"]
        assert "neither an MX nor an address" in why["ada@empty.example"]
        assert "NXDOMAIN" in why["ada@gone.example"]
        # Nothing was written for them, and nobody is suppressed: the lookup is not a refusal.
        assert coldmail.count("SELECT count(*) FROM emails") == 3
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0
        oracle.check(coldmail, server.mails())


def test_case_55_a_name_server_that_does_not_say_is_asked_again(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns(
        broken_example="servfail", good_example=["mx.good.example"]
    ) as dns, Coldmail(
        tmp_path, verify(dns), mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(["ada@broken.example", "bob@good.example"])
        coldmail.start()
        coldmail.wait_sent(1)
        wait_until(lambda: held(coldmail) == {"ada@broken.example": "verify_unknown"})
        lead = coldmail.lead("ada@broken.example")
        assert lead["until"] > lead["created_at"], "it is looked at again"
        assert "verify_unknown" in str(coldmail.ctl("why", "ada@broken.example"))
        # The same daemon, later: nothing but time stands in the way.
        dns.answers["broken.example"] = ["mx.broken.example"]
        assert coldmail.stop() == 0
        coldmail.ctl("leads", "release", "ada@broken.example")
        coldmail.run_until_idle()
        assert sorted(m.to[0] for m in server.mails()) == ["ada@broken.example", "bob@good.example"]
        oracle.check(coldmail, server.mails())


def test_case_55_an_unknown_domain_is_asked_ever_more_rarely_until_it_answers(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns(a_example="servfail") as dns:
        coldmail = Coldmail(
            tmp_path, verify(dns), mailbox(ALI, server.port), campaign(expire_after="1d")
        )
        coldmail.import_leads(["ada@a.example", "bob@a.example"])
        original = dns.reply

        def reply(packet):
            if len(dns.asked) >= 10:  # twice each time
                dns.answers["a.example"] = ["mx.a.example"]
            return original(packet)

        dns.reply = reply
        coldmail.fast_forward()
        assert sorted(m.to[0] for m in server.mails()) == ["ada@a.example", "bob@a.example"]
        times = [clock(e["ts"]) for e in coldmail.events("held") if e["to"] == "ada@a.example"]
        assert [round((b - a).seconds / 60) for a, b in zip(times, times[1:])] == [5, 15, 60, 60]
        assert len(dns.asked) == 11


def test_a_domain_is_asked_for_once_whoever_waits_for_it(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns(a_example=["mx.a.example"]) as dns:
        coldmail = Coldmail(tmp_path, verify(dns), mailbox(ALI, server.port), campaign())
        coldmail.import_leads([f"p{i}@a.example" for i in range(300)])
        coldmail.run_until_idle()
        assert len(server.mails()) == 300
        assert len(dns.asked) == 1


def test_garbage_and_silence_hold_nobody_else_up(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns(
        garbage_example="garbage", silent_example="silent", good_example=["mx.good.example"]
    ) as dns, Coldmail(
        tmp_path, verify(dns), mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(
            ["a@garbage.example", "a@silent.example"] + [f"p{i}@good.example" for i in range(20)]
        )
        coldmail.start()
        coldmail.wait_sent(20)
        # A stop does not wait for a name server.
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


def test_auto_asks_for_ones_own_relay(tmp_path):
    """It would take the mail, and send a bounce later that nobody reads."""
    relay = mailbox(ALI, smtp='"smtp://127.0.0.77:25"')  # nothing listens there
    with FakeDns() as dns, Coldmail(
        tmp_path, verify(dns, "auto"), relay, campaign()
    ) as coldmail:
        coldmail.import_leads(["ada@gone.example"])
        coldmail.start()
        wait_until(lambda: held(coldmail) == {"ada@gone.example": "verify_invalid"})


def test_auto_asks_nobody_when_every_server_is_on_this_machine(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, FakeDns() as dns:
        coldmail = Coldmail(tmp_path, verify(dns, "auto"), mailbox(ALI, server.port), campaign())
        coldmail.import_leads(["ada@gone.example"])
        coldmail.run_until_idle()
        assert len(server.mails()) == 1 and dns.asked == []


def test_a_rehearsal_is_refused_when_it_would_ask_the_world(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(
            tmp_path, "verify { mx = yes }\n", mailbox(ALI, server.port), campaign()
        )
        coldmail.spawn("--until-idle", "--fast-forward")
        assert coldmail.wait() == 64 and "name servers" in coldmail.tail()


def test_a_resolver_that_is_none_is_named_with_its_line(tmp_path):
    coldmail = Coldmail(
        tmp_path, 'verify { resolver = "127.0.0.1:5353,dns.example" }\n', mailbox(), campaign()
    )
    coldmail.spawn("--check")
    assert coldmail.wait() == 78
    assert "'dns.example' is no name server, expected addresses" in coldmail.tail()
