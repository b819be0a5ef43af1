"""Campaigns to mail servers that nobody here wrote (peers.py): what we take for SMTP, TLS and a login,
they do, too. Afterwards their records and the ledger tell the same, byte by byte."""
import collections

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, login, mailbox, over_tls
from peers import PASSWORD, USER, Aiosmtpd, NginxTls, Postfix, SmtpSink
from support import wait_until

STEPS = ("intro", "nudge")
PEOPLE = addresses(12)


def send(folder, keys, people=PEOPLE, steps=STEPS):
    """A campaign of two mailboxes with KEYS, up to its end or to the day on which nothing more comes
    of it; the daemon has ended."""
    boxes = [mailbox(address, **{"connections": 2, **keys}) for address in (ALI, BEA)]
    campaigns = campaign(mailboxes=(ALI, BEA), steps=steps)
    with Coldmail(folder / "run", *boxes, campaigns) as coldmail:
        coldmail.import_leads(people)
        coldmail.fast_forward()
        return coldmail


def clear(port):
    return {"smtp": f'"smtp://127.0.0.1:{port}"'}


def check_all_sent(coldmail, mails, people=PEOPLE):
    assert collections.Counter(mail.to[0] for mail in mails) == dict.fromkeys(people, len(STEPS))
    assert coldmail.states() == {("ended", "completed"): len(people)}
    oracle.check(coldmail, mails)


def check_leads_are_untouched(coldmail):
    """They wait, or have waited for so long that it would be strange to write to them now."""
    assert set(coldmail.states()) <= {("queued", ""), ("ended", "overdue_expired")}
    assert coldmail.count("SELECT count(*) FROM do_not_contact") == 0


# ---- smtp-sink -----------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [[], ["-p"], ["-8", "-N", "-E"], ["-e"]],
                         ids=lambda options: " ".join(options) or "plain")
def test_smtp_sink_takes_it_all(options, tmp_path):
    with SmtpSink(tmp_path / "peer", *options) as sink:
        check_all_sent(send(tmp_path, clear(sink.port)), list(sink.mails()))


@pytest.mark.parametrize("mode", ["-r", "-f"])
def test_smtp_sink_knows_no_ehlo(mode, tmp_path):
    """Then HELO will do, where neither TLS nor a login is asked for."""
    with SmtpSink(tmp_path / "peer", mode, "ehlo") as sink:
        check_all_sent(send(tmp_path, clear(sink.port)), list(sink.mails()))


MODES = {"-r": "soft", "-f": "hard", "-q": "hangs up", "-Q": "says 421 and hangs up"}
VERBS = ["connect", "ehlo", "mail", "rcpt", "data", "."]
FAULTS = [(m, v) for m in MODES for v in VERBS if not (m in ("-r", "-f") and v == "ehlo")]


@pytest.mark.parametrize("mode, verb", FAULTS, ids=[f"{MODES[m]} at {v}" for m, v in FAULTS])
def test_case_07_smtp_sink_fails(mode, verb, tmp_path):
    """Nothing is taken, and nothing is doubtful but where the dot got no answer."""
    with SmtpSink(tmp_path / "peer", mode, verb) as sink:
        coldmail = send(tmp_path, clear(sink.port), PEOPLE[:3])
        came = list(sink.mails())
    doubtful = (mode, verb) == ("-q", ".")
    assert bool(came) == (verb == ".")  # it keeps what it then refuses
    oracle.check(coldmail, came if doubtful else [])
    outcomes = {row["state"] for row in coldmail.rows("SELECT state FROM attempts WHERE slot = 0")}
    assert "sent" not in outcomes and ("uncertain" in outcomes) == doubtful


def test_smtp_sink_refuses_before_it_has_read_the_mail(tmp_path):
    """-A: 550 right after 354, and it reads no more. That is an answer to no dot."""
    with SmtpSink(tmp_path / "peer", "-A", "0") as sink:
        coldmail = send(tmp_path, clear(sink.port), PEOPLE[:3])
        assert list(sink.mails()) == []
    oracle.check(coldmail, [])


# ---- TLS and logins ------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_aiosmtpd_with_tls_and_a_login(scheme, certs, tmp_path):
    with Aiosmtpd(tmp_path / "peer", certs.good, tls=scheme == "smtps") as peer:
        keys = over_tls(f"{scheme}://127.0.0.1:{peer.port}", certs.ca)
        coldmail = send(tmp_path, {**keys, **login(tmp_path / "secret", USER, PASSWORD)})
        check_all_sent(coldmail, list(peer.mails()))
        assert {(mail.user, mail.tls) for mail in peer.mails()} == {(USER, "TLSv1.3")}


@pytest.mark.parametrize("user, password", [(USER, "wrong"), ("bob", PASSWORD), (None, None)])
def test_aiosmtpd_knows_another_login(user, password, certs, tmp_path):
    """The credential is to blame: the mailbox stops, and the leads stay as they were."""
    with Aiosmtpd(tmp_path / "peer", certs.good) as peer:
        keys = over_tls(f"smtp://127.0.0.1:{peer.port}", certs.ca)
        if user:
            keys |= login(tmp_path / "secret", user, password)
        coldmail = send(tmp_path, keys, PEOPLE[:3])
        assert list(peer.mails()) == []
    oracle.check(coldmail, [])
    check_leads_are_untouched(coldmail)
    assert password is None or password not in coldmail.log.read_text()


def test_nginx_speaks_tls_for_smtp_sink(certs, tmp_path):
    with SmtpSink(tmp_path / "sink") as sink:
        with NginxTls(tmp_path / "peer", sink.port, certs.good) as peer:
            coldmail = send(tmp_path, over_tls(f"smtps://localhost:{peer.port}", certs.ca))
        check_all_sent(coldmail, list(sink.mails()))


@pytest.mark.parametrize("name", ["expired", "wrong_name", "self_signed"])
def test_nginx_has_a_certificate_that_is_not_right(name, certs, tmp_path):
    with SmtpSink(tmp_path / "sink") as sink:
        with NginxTls(tmp_path / "peer", sink.port, getattr(certs, name)) as peer:
            keys = over_tls(f"smtps://localhost:{peer.port}", certs.ca)
            coldmail = send(tmp_path, keys, PEOPLE[:3])
        assert list(sink.mails()) == []
    oracle.check(coldmail, [])
    check_leads_are_untouched(coldmail)


# ---- a real Postfix ------------------------------------------------------------------------------
@pytest.mark.parametrize("tls", ["none", "may", "encrypt"])
def test_case_36_37_postfix_takes_defers_and_refuses(tls, certs, tmp_path):
    people = [*PEOPLE, "later@take.example", "nobody@take.example"]
    with Postfix(tmp_path / "peer", certs.good, tls) as peer:
        url = f"smtp://localhost:{peer.port}"
        coldmail = send(tmp_path, clear(peer.port) if tls == "none" else over_tls(url, certs.ca),
                        people)
        wait_until(lambda: len(list(peer.mails())) == len(PEOPLE) * len(STEPS), 20, "delivery")
        oracle.check(coldmail, list(peer.mails()))
    reasons = {person: coldmail.lead(person)["reason"] for person in people[-2:]}
    assert reasons == {"later@take.example": "stopped", "nobody@take.example": "bounced"}
    suppressed = coldmail.rows("SELECT pattern FROM do_not_contact")
    assert [row["pattern"] for row in suppressed] == ["nobody@take.example"]
    tries = "SELECT count(*) FROM attempts WHERE slot = 0 AND to_email = ?"
    assert coldmail.count(tries, "later@take.example") > 3


def test_postfix_takes_a_mail_and_bounces_it(certs, tmp_path):
    """The 250 stands: what comes back later is for who reads the inbox."""
    with Postfix(tmp_path / "peer", certs.good) as peer:
        coldmail = send(tmp_path, clear(peer.port), ["gone@bounce.example"], steps=("intro",))
        (bounce,) = wait_until(peer.bounces, 20, "a bounce")
    (attempt,) = coldmail.ctl("sends")
    assert attempt["outcome"] == "sent" and attempt["message_id"].encode() in bounce
    assert b"Final-Recipient: rfc822; gone@bounce.example" in bounce
