"""TLS and logins of mail/smtp.c over real sockets: nothing is said in the clear that must not be, no
mail goes out without the login that was asked for, and what failed is told by its stage.

The client is tests/bench/smtp_client.c, the server fake-smtp.
"""
import collections
import os
import pathlib
import re
import subprocess

import pytest

from smtp_client import Client
from support import BUILD

CLOSED, TLS = "connection closed by the peer", "TLS failed"
AUTH, TIMED_OUT = "not authenticated", "timed out"
PROTOCOL = "protocol violation by the peer"
SECRET = "s3cret"
USER = ["--user", f"ali:{SECRET}"]  # of the server
LOGIN = ["--user", "ali", "--password", SECRET]  # of the client
IMPLICIT = pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "smtps"])


class Way:
    """How the client reaches a server, and the server's options for it."""

    def __init__(self, certs, implicit, cert="good"):
        self.server = [*(["--tls"] if implicit else []), *getattr(certs, cert).options]
        self.client = [*([] if implicit else ["--starttls"]), "--ca", certs.ca]
        self.scheme = "smtps" if implicit else "smtp"

    def url(self, server, host="127.0.0.1"):
        return f"{self.scheme}://{host}:{server.port}"


# ---- what works --------------------------------------------------------------------------------


@IMPLICIT
@pytest.mark.parametrize("mechanism, secret", [
    ("PLAIN LOGIN", "--password"), ("LOGIN", "--password"), ("PLAIN XOAUTH2", "--bearer"),
])
def test_a_login(fake, certs, implicit, mechanism, secret):
    way = Way(certs, implicit)
    auth = "AUTH=" + mechanism.replace(" ", ",")
    server = fake(*way.server, *USER, "--caps", f"PIPELINING {auth}")
    client = Client(way.url(server, "localhost"), *way.client, "--user", "ali", secret, SECRET)
    assert client.fates == ["sent"] and client.end.code == 221
    assert [(m.user, m.tls) for m in server.mails()] == [("ali", "TLSv1.3")]


def test_no_user_no_login(fake, certs):
    """An own relay: it takes mail without, and would let anybody log in."""
    way = Way(certs, True)
    server = fake(*way.server, *USER, "--auth-optional")
    assert Client(way.url(server), *way.client).fates == ["sent"]
    assert [m.user for m in server.mails()] == ["-"]


def test_a_login_in_the_clear_where_that_is_wanted(fake):
    server = fake(*USER)
    assert Client(f"smtp://127.0.0.1:{server.port}", *LOGIN).fates == ["sent"]
    assert [(m.user, m.tls) for m in server.mails()] == [("ali", "-")]


def test_what_is_offered_under_tls_counts(fake, certs):
    """In the clear there is PIPELINING alone: what was offered there is forgotten."""
    way = Way(certs, False)
    before = "on ehlo times 1 do reply 250 here\\nPIPELINING\\nSIZE 10\\nSTARTTLS"
    server = fake(*way.server, "--no-cap", "PIPELINING", rules=[before])
    client = Client(way.url(server), *way.client, "--mails", "2")
    assert client.fates == ["sent", "sent"]
    assert all("SIZE=" in m.parameters for m in server.mails())


# ---- what must not go on -----------------------------------------------------------------------

# stage: or one of STARTTLS and one of TLS at once, in which the server has not said a word yet.
Case = collections.namedtuple("Case", "name cert server rules login stage code err text")
HELLO = ("ehlo", "connect")


def case(name, *, cert="good", server=(), rules=(), login=LOGIN, stage, code=0, err="", text=""):
    return pytest.param(Case(name, cert, server, rules, login, stage, code, err, text), id=name)


BAD_CERTIFICATE = [
    case("expired", cert="expired", stage=HELLO, err=TLS, text="certificate has expired"),
    case("wrong_name", cert="wrong_name", stage=HELLO, err=TLS, text="target host name 'localhost'"),
    case("self_signed", cert="self_signed", stage=HELLO, err=TLS, text="self-signed certificate"),
]
HANDSHAKE = [
    case("garbage", rules=['on tls do delay 50 then partial "hello, hello"'], stage=HELLO, err=TLS),
    case("dropped", rules=["on tls do drop"], stage=("ehlo", "greet"), err=CLOSED),
    case("silent", rules=["on tls do silence"], stage=HELLO, err=TIMED_OUT),
]
NO_AUTH = ["--auth-optional", "--auth-when", "clear"]
NO_LOGIN = [
    case("none_offered", server=["--auth-when", "clear"], stage="auth", err=AUTH,
         text="the server offers no login by PLAIN or LOGIN"),
    case("none_we_know", server=["--caps", "AUTH=CRAM-MD5"], stage="auth", err=AUTH,
         text="the server offers no login by PLAIN or LOGIN, but by CRAM-MD5"),
    case("no_tokens", server=["--caps", "AUTH=PLAIN"], login=["--user", "ali", "--bearer", SECRET],
         stage="auth", err=AUTH, text="the server offers no login by XOAUTH2, but by PLAIN"),
    case("another_yes", rules=["on auth do reply 250 2.0.0 Ok"], stage="auth", err=AUTH,
         text="the server answered the login with 250 Ok, expected 235"),
    case("asks_on", rules=["on auth do reply 334 Zm9v"], stage="auth", err=AUTH,
         text="the server answered the login with 334 Zm9v, expected 235"),
    # A server that lets everybody in, but does not say so to us.
    case("a_yes_too_early", server=NO_AUTH, rules=["on connect do reply 235 2.7.0 hello"],
         stage="greet", err=PROTOCOL, text="235 hello, expected 220"),
    case("a_yes_to_ehlo", server=NO_AUTH, rules=["on ehlo do reply 235 2.7.0 hello\\nSTARTTLS"],
         stage="ehlo", err=PROTOCOL, text="235 hello STARTTLS, expected 250"),
    case("wrong_password", login=["--user", "ali", "--password", "wrong"], stage="auth", code=535),
    case("wrong_token", login=["--user", "ali", "--bearer", "wrong"], stage="auth", err=AUTH,
         text="the server refused the token"),
    case("not_now", rules=["on auth do reply 454 4.7.0 Too many login attempts"], stage="auth",
         code=454, text="Too many login attempts"),
    case("hangs_up", rules=["on auth do drop"], stage="auth", err=CLOSED),
    case("is_silent", rules=["on auth do silence"], stage="auth", err=TIMED_OUT),
    case("goodbye", rules=["on auth do reply 421 4.3.2 Going down then drop"], stage="auth",
         code=421),
]


@IMPLICIT
@pytest.mark.parametrize("c", BAD_CERTIFICATE + HANDSHAKE + NO_LOGIN)
def test_no_mail_without(fake, certs, implicit, c):
    """Everything that has to be there before the first mail, missing: the connection ends."""
    way = Way(certs, implicit, c.cert)
    server = fake("--verbose", *way.server, *USER, *c.server, rules=c.rules)
    client = Client(way.url(server, "localhost"), *way.client, *c.login, "--limit", "1000")
    assert client.mails == [] and server.mails() == []
    assert client.end.stage == (c.stage if isinstance(c.stage, str) else c.stage[implicit])
    assert (client.end.code, client.end.err) == (c.code, c.err)
    assert c.text in client.end.text and SECRET not in client.end.text


STARTTLS_ONLY = [
    case("not_offered", server=["--caps", "PIPELINING AUTH"], stage="ehlo", err=TLS,
         text="the server offers no STARTTLS"),
    case("refused", rules=["on starttls do reply 454 4.7.0 TLS not available"], stage="ehlo",
         code=454),
    case("ehlo_refused", rules=["on ehlo do reply 502 5.5.1 What?"], stage="ehlo", code=502),
    # Whoever is between us and the server adds replies that TLS would then vouch for.
    case("injected", stage="ehlo", err=PROTOCOL, text="more before TLS began", rules=[
        'on starttls do reply 220 go then partial "250-x\\r\\n250 AUTH PLAIN\\r\\n"']),
    case("injected_later", stage="ehlo", err=None, rules=[
        'on tls do delay 100 then partial "250-x\\r\\n250 AUTH PLAIN\\r\\n"']),
]


@pytest.mark.parametrize("c", STARTTLS_ONLY)
def test_nothing_goes_on_in_the_clear(fake, certs, c):
    server_options = [] if c.name == "not_offered" else Way(certs, False).server
    server = fake("--verbose", *server_options, *([] if c.server else USER), *c.server, rules=c.rules)
    client = Client(f"smtp://127.0.0.1:{server.port}", "--starttls", "--ca", certs.ca, *LOGIN)
    assert client.mails == [] and client.end.stage == "ehlo"
    assert client.end.code == c.code and c.text in client.end.text
    assert client.end.err == c.err or (c.err is None and client.end.err in (TLS, PROTOCOL))
    said = server.err.read_text()
    assert "EHLO bench.example" in said and "AUTH PLAIN" not in said.replace("250 AUTH PLAIN", "")
    assert "MAIL" not in said and SECRET not in said


def test_a_certificate_is_checked_against_the_systems_authorities(fake, certs):
    way = Way(certs, True)
    client = Client(way.url(fake(*way.server)))
    assert client.end.err == TLS and "certificate" in client.end.text


def test_only_the_ca_named_counts(fake, certs):
    way = Way(certs, True)
    client = Client(way.url(fake(*way.server)), "--ca", certs.self_signed.cert)
    assert client.end.err == TLS and "certificate" in client.end.text


def test_a_server_without_tls_is_told_apart(fake):
    client = Client(f"smtps://127.0.0.1:{fake().port}")
    assert (client.end.stage, client.end.err) == ("connect", TLS)


# ---- faults over TLS are what they are without ---------------------------------------------------


@pytest.mark.parametrize("rule, outcome", [
    ("on mail do drop", "not_sent"), ("on rcpt do rst", "not_sent"), ("on data do drop", "not_sent"),
    ("on rcpt do reply 550 5.1.1 Nobody", "refused"),
    ("on dot do accept then drop", "uncertain"), ("on dot do accept then rst", "uncertain"),
    ('on dot do accept then partial "250 2." then drop', "uncertain"),
    ("on dot do accept then silence", "uncertain"), ("on dot do reply 451 4.3.0 Later", "refused"),
    ("on dot do reply 250 2.0.0 Ok then rst", "sent"),
])
def test_a_fault(fake, certs, rule, outcome):
    way = Way(certs, False)
    server = fake(*way.server, *USER, rules=[rule])
    client = Client(way.url(server), *way.client, *LOGIN, "--limit", "1000")
    assert client.fates == [outcome]
    assert len(server.mails()) == (outcome in ("sent", "uncertain"))


def test_a_refusal_while_the_body_is_under_way(fake, certs):
    """The socket is full and the server has gone: what it said before is still read."""
    way = Way(certs, True)
    server = fake(*way.server, rules=["on body do reply 550 5.7.1 Not that then drop"])
    client = Client(way.url(server), *way.client, "--size", "5000000")
    assert (client.mail.outcome, client.mail.code, client.mail.text) == ("refused", 550, "Not that")


def test_a_mail_that_does_not_fit_the_socket(fake, certs):
    """What TLS could not send is sent again later, from wherever it is in memory by then."""
    way = Way(certs, True)
    server = fake(*way.server, rules=["on body do delay 200"])
    client = Client(way.url(server), *way.client, "--size", "20000000", "--mails", "2")
    assert client.fates == ["sent", "sent"]
    assert len({m.sha256 for m in server.mails()}) == 1
    assert len(server.data(server.mails()[0])) > 20000000


@IMPLICIT
def test_replies_in_pieces(fake, certs, implicit):
    """Two records of TLS that come at once: no descriptor tells of the second."""
    pieces = 'then partial "250-2.0.0 one\\r\\n" then partial "250 2.0." then partial "0 two\\r\\n"'
    way = Way(certs, implicit)
    server = fake(*way.server, rules=[f"on dot do accept {pieces}"])
    client = Client(way.url(server), *way.client, "--mails", "3", "--limit", "5000")
    assert [(e.outcome, e.text) for e in client.mails] == [("sent", "one two")] * 3


# ---- what is offered ---------------------------------------------------------------------------


def test_parameters_where_they_are_offered(fake, tmp_path):
    body = tmp_path / "body"
    body.write_bytes("Subject: Grüße\r\n\r\nGrüße.\r\n".encode())
    to = "a+b=c@take.example"
    server = fake()
    url = f"smtp://127.0.0.1:{server.port}"
    assert Client(url, "--body", body, "--id", "x+1=y@z", "--to", to).fates == ["sent"]
    assert Client(url).fates == ["sent"]
    eightbit, plain = server.mails()
    size = body.stat().st_size
    assert eightbit.parameters == f"SIZE={size} BODY=8BITMIME RET=HDRS ENVID=x+2B1+3Dy@z"
    assert eightbit.to_parameters == ["NOTIFY=FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@take.example"]
    assert "BODY" not in plain.parameters and "ENVID" not in plain.parameters


def test_no_parameters_where_they_are_not(fake, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"Subject: \xfc\r\n\r\n\xfc\r\n")
    server = fake("--caps", "PIPELINING")
    url = f"smtp://127.0.0.1:{server.port}"
    assert Client(url, "--body", body, "--id", "x@y").fates == ["sent"]
    [mail] = server.mails()
    assert mail.parameters == "-" and mail.to_parameters == ["-"]


@pytest.mark.parametrize("option", ["PIPELINING", "HELP"], ids=["pipelined", "lockstep"])
def test_a_mail_that_is_too_big_is_not_begun(fake, option):
    """The server is not asked, and the next mail goes out on the same connection."""
    server = fake("--caps", f"{option} SIZE=2000", "--verbose")
    url = f"smtp://127.0.0.1:{server.port}"
    client = Client(url, "--size", "2500", "--mails", "2")
    assert [(e.outcome, e.stage, e.code) for e in client.mails] == [("refused", "mail", 552)] * 2
    assert "at most 2000 bytes" in client.mails[0].text and client.end.code == 221
    assert "MAIL" not in server.err.read_text() and server.summary()["connections"] == 1
    assert Client(url, "--size", "1500").fates == ["sent"]


# ---- connections -------------------------------------------------------------------------------


def test_case_64_a_connection_is_made_anew_after_so_many_mails(fake, certs):
    """Each connection logs in once, and each mail goes out once."""
    way = Way(certs, False)
    server = fake(*way.server, *USER)
    client = Client(way.url(server), *way.client, *LOGIN, "--mails", "10", "--per-connection", "4")
    assert client.fates == ["sent"] * 10 and [e.code for e in client.ends] == [221] * 3
    assert server.summary()["connections"] == 3 and len(server.mails()) == 10
    assert all(m.user == "ali" for m in server.mails())


def test_an_idle_connection_that_was_closed_is_opened_and_logged_in_again(fake, certs):
    way = Way(certs, True)
    server = fake(*way.server, *USER, rules=["on mail after 1 times 1 do reply 421 Idle then drop"])
    client = Client(way.url(server), *way.client, *LOGIN, "--mails", "2")
    assert client.fates == ["sent", "sent"]
    assert [m.user for m in server.mails()] == ["ali", "ali"]


def footprint(pid):
    """KB resident, and how many files are open."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+)", status, re.M)[1]), len(os.listdir(f"/proc/{pid}/fd"))


def test_five_thousand_sessions_leave_nothing_behind(fake, certs):
    """Connected, logged in, one mail, and over: neither memory nor files grow with it."""
    way, n, ended, seen = Way(certs, True), 5000, 0, []
    command = [BUILD / "bench-smtp_client", *way.client, *LOGIN, "--connections", "4", "--mails",
               str(n), "--per-connection", "1", "--outcomes",
               way.url(fake(*way.server, *USER))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        for line in client.stdout:
            assert line.startswith(("mail\tsent\t", "end\tnot_sent\tquit\t221", "mails ")), line
            if line.startswith("end"):
                ended += 1
                if ended in (n // 10, n - 100):
                    seen.append(footprint(client.pid))
    assert client.returncode == 0 and ended >= n
    (early_kb, early_files), (late_kb, late_files) = seen
    assert late_files <= early_files + 8 and late_kb <= early_kb + 4096, seen  # a session has 24 KB
