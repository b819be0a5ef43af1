"""mail/smtp.c over real sockets: every verb of a scripted server refuses, hangs up, stays silent.

What counts is the fate of each mail, and that it agrees with what the server took. The client is
tests/bench/smtp_client.c, the server fake-smtp or, where bytes or TCP matter, a few lines here.
"""
import contextlib
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from fake_smtp import FakeSmtp
from smtp_client import Client
from support import BUILD

CLOSED = "connection closed by the peer"
LOST = {CLOSED, "connection failed"}
TIMED_OUT = "timed out"
PROTOCOL = "protocol violation by the peer"

PIPELINING = pytest.mark.parametrize("caps", [[], ["--no-cap", "PIPELINING"]],
                                     ids=["pipelined", "lockstep"])


@pytest.fixture
def fake(tmp_path):
    servers = []

    def start(*rules, caps=()):
        server = FakeSmtp(tmp_path / f"fake{len(servers)}", *caps, rules=rules)
        server.url = f"smtp://127.0.0.1:{server.port}"
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@contextlib.contextmanager
def scripted(serve):
    """A server in Python: SERVE(socket, file) speaks one connection after another."""
    listener = socket.create_server(("127.0.0.1", 0))
    errors = []

    def run():
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.settimeout(15)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with peer, peer.makefile("rb") as lines:
                try:
                    serve(peer, lines)
                except OSError:
                    pass  # the client hung up: what the tests look at is the client
                except Exception as e:  # pylint: disable=broad-except
                    errors.append(e)
                    return

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"smtp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)
        assert not thread.is_alive()
        assert not errors


def greet(peer, lines, *capabilities):
    peer.sendall(b"220 test\r\n")
    assert lines.readline().startswith(b"EHLO bench.example")
    peer.sendall(b"".join(b"250-%s\r\n" % c for c in (b"test", *capabilities)) + b"250 HELP\r\n")


def envelope(peer, lines):
    for reply in (b"250 ok", b"250 ok", b"354 go"):
        assert lines.readline()
        peer.sendall(reply + b"\r\n")


def until_dot(lines):
    body = []
    while not body or body[-1] != b".\r\n":
        line = lines.readline()
        if not line:
            return None
        body.append(line)
    return b"".join(body[:-1])


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


# ---- connecting ---------------------------------------------------------------------------------

@pytest.mark.parametrize("rule, stage, code, errs", [
    ("on connect do reply 554 5.7.1 not you", "greet", 554, {""}),
    ("on connect do reply 421 4.3.2 busy then drop", "greet", 421, {""}),
    ("on connect do drop", "greet", 0, {CLOSED}),
    ('on connect do partial "220 half" then drop', "greet", 0, {CLOSED}),
    ('on connect do partial "no smtp here\\r\\n"', "greet", 0, {PROTOCOL, CLOSED, TIMED_OUT}),
    ("on connect do silence", "connect", 0, {TIMED_OUT}),
    ("on any do reply 502 5.5.1 no", "greet", 502, {""}),
    ("on ehlo do drop", "ehlo", 0, {CLOSED}),
    ("on ehlo do rst", "ehlo", 0, LOST),
    ("on ehlo do silence", "ehlo", 0, {TIMED_OUT}),
])
def test_no_connection(fake, rule, stage, code, errs):
    server = fake(rule)
    client = Client(server.url, "--limit", 500)
    assert client.mails == []
    assert (client.end.outcome, client.end.stage, client.end.code) == ("not_sent", stage, code)
    assert client.end.err in errs
    assert client.end.text
    assert server.summary()["connections"] == 1


def test_reset_at_once(fake):
    """The kernel may tell while it connects, or while it waits for the greeting."""
    end = Client(fake("on connect do rst").url).end
    assert end.stage in {"connect", "greet"}
    assert end.err in LOST


def test_refused_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    end = Client(f"smtp://127.0.0.1:{port}").end
    assert (end.stage, end.err) == ("connect", "connection failed")
    assert Client("smtp://no host/").end.stage == "connect"
    assert Client("http://127.0.0.1:1/").end.stage == "connect"


@pytest.mark.parametrize("login", [[], ["--user", "ali", "--password", "s3cret"]],
                         ids=["ehlo", "auth"])
@pytest.mark.parametrize("last, code, text", [
    (b"421 4.7.0 too many connections\r\n", 421, "too many connections"),
    (b"554-5.7.1 your account\r\n554 5.7.1 is blocked\r\n", 554, "your account is blocked"),
])
@pytest.mark.parametrize("pause", [0, 0.1], ids=["at_once", "later"])
def test_turned_away_in_the_same_breath(login, last, code, text, pause):
    """Nobody asked for it, but it is why the connection ends."""
    def serve(peer, lines):
        peer.sendall(b"220 test\r\n")
        lines.readline()
        ready = b"250 test\r\n"
        if login:
            peer.sendall(b"250-test\r\n250 AUTH PLAIN\r\n")
            lines.readline()
            peer.sendall(b"334 \r\n")
            lines.readline()
            ready = b"235 welcome\r\n"
        peer.sendall(ready + (b"" if pause else last))
        time.sleep(pause)
        peer.sendall(last if pause else b"")

    with scripted(serve) as url:
        client = Client(url, *login, "--pause", 2000)
    assert client.mails == [] and (client.end.code, client.end.text) == (code, text)


def test_an_answer_to_nothing_is_none():
    def serve(peer, lines):
        peer.sendall(b"220 test\r\n")
        lines.readline()
        peer.sendall(b"250 test\r\n250 what?\r\n")
        for _ in range(2):
            lines.readline()
            peer.sendall(b"250 ok\r\n")
        lines.readline()
        peer.sendall(b"354 go\r\n")
        until_dot(lines)
        peer.sendall(b"250 taken\r\n")
        lines.readline()

    with scripted(serve) as url:
        assert Client(url).fates == ["sent"]


def test_ehlo_refused_falls_back_to_helo(fake):
    """A server of old: no extensions, and it works."""
    server = fake("on ehlo do reply 502 5.5.1 what")
    assert Client(server.url, "--mails", 2).fates == ["sent"] * 2
    assert server.summary()["connections"] == 1


def test_ehlo_and_helo_refused(fake):
    server = fake("on ehlo do reply 502 5.5.1 what", "on helo do reply 550 5.7.1 go away")
    end = Client(server.url).end
    assert (end.stage, end.code, end.enhanced) == ("ehlo", 550, "5.7.1")
    assert len(server.mails()) == 0


# ---- refusals, one verb at a time ----------------------------------------------------------------

@PIPELINING
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "dot"])
@pytest.mark.parametrize("code", [450, 550])
def test_refused_then_reused(fake, verb, code, caps):
    """Case 36: a refusal is the mail's; the connection, or after the dot a new one, carries the next."""
    server = fake(f"on {verb} times 1 do reply {code} {code // 100}.1.1 not 250 this", caps=caps)
    client = Client(server.url, "--mails", 3)
    assert client.fates == ["refused", "sent", "sent"]
    first = client.mails[0]
    assert (first.stage, first.code, first.enhanced, first.text) == (
        verb, code, f"{code // 100}.1.1", "not 250 this")
    assert (client.ends[-1].stage, client.ends[-1].code) == ("quit", 221)
    assert len(server.mails()) == 2
    # Behind the dot a no stands only when QUIT has shown that nothing else was said.
    assert server.summary()["connections"] == (2 if verb == "dot" else 1)


@PIPELINING
@pytest.mark.parametrize("verb", ["mail", "rcpt", "data", "dot"])
def test_421_ends_the_connection(fake, verb, caps):
    server = fake(f"on {verb} times 1 do reply 421 4.7.0 too much then drop", caps=caps)
    client = Client(server.url, "--mails", 2)
    assert client.fates == ["refused", "sent"]
    assert (client.mails[0].stage, client.mails[0].code) == (verb, 421)
    assert [e.code for e in client.ends] == [421, 221]
    assert len(server.mails()) == 1


@PIPELINING
def test_case_08_a_no_and_then_a_yes_is_uncertain(fake, caps):
    """What was said in the middle of the body comes behind the dot, and the mail is taken all the same."""
    rule = 'on dot times 1 do accept then partial "451 4.3.0 disk\\r\\n" then delay 50 then reply 250 ok'
    server = fake(rule, caps=caps)
    client = Client(server.url, "--mails", 2)
    assert client.fates == ["uncertain", "sent"]
    assert client.mails[0].text == "first 451 disk, then 250 ok"
    assert len(server.mails()) == 2


def test_refused_recipient_but_354():
    """Pipelined behind a refused recipient, DATA was taken: an empty mail for nobody, and on."""
    bodies, replies = [], iter([b"554 5.5.1 no recipients", b"250 nobody got it"])

    def serve(peer, lines):
        greet(peer, lines, b"PIPELINING")
        for final in replies:
            assert lines.readline().startswith(b"MAIL")
            lines.readline(), lines.readline()
            peer.sendall(b"250 ok\r\n550 5.1.1 who?\r\n354 go\r\n")
            bodies.append(until_dot(lines))
            peer.sendall(final + b"\r\n")
            assert lines.readline() == b"RSET\r\n"
            peer.sendall(b"250 ok\r\n")
        assert lines.readline() == b"QUIT\r\n"

    with scripted(serve) as url:
        client = Client(url, "--mails", 2)
    assert client.fates == ["refused"] * 2
    assert [e.code for e in client.mails] == [550] * 2
    assert bodies == [b"", b""]
    assert client.end.code == 221


def test_rset_refused_or_lost(fake):
    for action, errs in (("reply 500 5.5.1 no", {""}), ("drop", {CLOSED}), ("rst", LOST)):
        server = fake("on rcpt times 1 do reply 550 5.1.1 who", f"on rset do {action}")
        client = Client(server.url, "--mails", 2)
        assert client.fates == ["refused", "sent"]
        assert client.ends[0].stage == "rset"
        assert client.ends[0].err in errs


# ---- the connection is lost ----------------------------------------------------------------------

LOSSES = [("drop", LOST), ("rst", LOST), ('partial "250 2.0" then drop', LOST),
          ("silence", {TIMED_OUT})]


@PIPELINING
@pytest.mark.parametrize("verb, action, errs", [
    (verb, action, errs) for verb in ("mail", "rcpt", "data", "body") for action, errs in LOSSES
    if (verb, action) != ("body", "silence")  # nobody talks there anyway
])
def test_lost_before_the_dot(fake, verb, action, errs, caps):
    server = fake(f"on {verb} times 1 do {action}", caps=caps)
    # The pause at the slot lets the loss be seen before the dot.
    client = Client(server.url, "--mails", 2, "--limit", 400, "--slot", 200, "--size", 300000)
    assert client.fates == ["not_sent", "sent"]
    assert client.mails[0].stage == verb
    assert client.mails[0].code == 0
    assert client.mails[0].err in errs
    assert len(server.mails()) == 1


@PIPELINING
@pytest.mark.parametrize("action, errs", [
    ("drop", LOST), ("rst", LOST), ("silence", {TIMED_OUT}),
    ('partial "250 2." then drop', LOST), ('partial "250-2.0.0 Ok\\r\\n" then drop', LOST),
    ('partial "garbage\\r\\n"', {PROTOCOL}),
    ('partial "250-one\\r\\n550 two\\r\\n"', {PROTOCOL}),
    ("reply 354 more?", {PROTOCOL}),
])
def test_case_08_lost_at_the_dot_is_uncertain(fake, action, errs, caps):
    """The server may hold the mail: it is not for a machine to send it again."""
    server = fake(f"on dot times 1 do {action}", caps=caps)
    client = Client(server.url, "--mails", 2, "--limit", 400)
    assert client.fates == ["uncertain", "sent"]
    assert (client.mails[0].stage, client.mails[0].code) == ("dot", 0)
    assert client.mails[0].err in errs


@pytest.mark.parametrize("rest", ["rst", "silence", "drop", 'partial "250 2." then drop'])
def test_case_08_accepted_and_never_said(fake, rest):
    server = fake(f"on dot do accept then {rest}")
    assert Client(server.url, "--limit", 300).mail.outcome == "uncertain"
    assert len(server.mails()) == 1


def test_complete_250_then_reset_is_sent():
    """The reply was read before the reset is looked at, unread bytes and all."""
    def serve(peer, lines):
        greet(peer, lines)
        envelope(peer, lines)
        until_dot(lines)
        peer.sendall(b"250-2.0.0 first\r\n250 2.0.0 Ok: queued as 4XyZ\r\n")
        reset(peer)

    with scripted(serve) as url:
        for _ in range(20):
            mail = Client(url).mail
            assert (mail.outcome, mail.code, mail.queue_id) == ("sent", 250, "4XyZ")


def test_refused_in_the_middle_of_the_body():
    """The server says why and hangs up on a body of 50 MB: sending fails, the 552 is still read."""
    def serve(peer, lines):
        greet(peer, lines, b"PIPELINING")
        envelope(peer, lines)
        lines.read(100000)
        peer.sendall(b"552 5.3.4 too big\r\n")
        time.sleep(0.1)
        reset(peer)

    with scripted(serve) as url:
        client = Client(url, "--size", 50_000_000)
    assert (client.mail.outcome, client.mail.stage, client.mail.code) == ("refused", "body", 552)
    assert client.mail.enhanced == "5.3.4"


def test_server_that_takes_no_body_times_out_by_block():
    """Bytes that leave start the limit again; when none does, the mail is certainly not sent."""
    def serve(peer, lines):
        greet(peer, lines)
        envelope(peer, lines)
        for _ in range(6):
            lines.read(1_000_000)
            time.sleep(0.3)
        time.sleep(3)

    with scripted(serve) as url:
        client = Client(url, "--size", 24_000_000, "--limit", 1000)
    assert (client.mail.outcome, client.mail.stage, client.mail.err) == (
        "not_sent", "body", TIMED_OUT)
    assert client.seconds > 1.8


def test_data_answered_250(fake):
    server = fake("on data times 1 do reply 250 sure")
    client = Client(server.url, "--mails", 2)
    assert client.fates == ["not_sent", "sent"]
    assert (client.mails[0].stage, client.mails[0].err) == ("data", PROTOCOL)
    assert "250 sure" in client.mails[0].text


@PIPELINING
def test_abort_leaves_no_mail(fake, caps):
    """Case 48: the slot was lost. The body is out, the dot is not; the server must not accept."""
    server = fake(caps=caps)
    client = Client(server.url, "--mails", 3, "--abort")
    assert client.fates == ["not_sent"] * 3
    assert {e.err for e in client.mails} == {"canceled"}
    assert server.summary()["connections"] == 3
    assert len(server.mails()) == 0


@pytest.mark.parametrize("after", [0, 40, 150])
def test_free_at_any_time(fake, after):
    """No callback, no wait: while it connects, in the envelope, at the dot."""
    server = fake("on connect do delay 20 then accept", "on mail do delay 60 then accept",
                  "on dot do silence")
    client = Client(server.url, "--mails", 8, "--connections", 8, "--close-after", after)
    assert client.events == []
    assert client.seconds < 2


# ---- idle and reuse ------------------------------------------------------------------------------

@PIPELINING
@pytest.mark.parametrize("action", ["reply 421 4.4.2 idle too long then drop", "drop", "rst"])
def test_case_35_idle_connection_died(fake, action, caps):
    """The first answer on a reused connection is its end: reconnected once, unseen."""
    server = fake(f"on mail after 1 times 1 do {action}", caps=caps)
    client = Client(server.url, "--mails", 3)
    assert client.fates == ["sent"] * 3
    assert client.end.code == 221
    assert len(server.mails()) == 3
    assert server.summary()["connections"] == 2


def test_reconnects_once_only(fake):
    server = fake("on mail after 1 times 2 do reply 421 4.4.2 no")
    client = Client(server.url, "--mails", 2)
    assert client.fates == ["sent", "refused"]
    assert client.mails[1].code == 421
    assert server.summary()["connections"] == 2


def test_reconnect_fails(fake):
    server = fake("on mail after 1 do drop", "on connect after 1 do reply 554 5.7.1 blocked")
    client = Client(server.url, "--mails", 2)
    assert client.fates == ["sent", "not_sent"]
    assert (client.mails[1].stage, client.mails[1].code) == ("greet", 554)
    assert (client.end.stage, client.end.code) == ("greet", 554)


@pytest.mark.parametrize("action", ["reply 421 4.4.2 bye then drop", "drop"])
def test_closed_while_idle(fake, action):
    server = fake(f"on dot times 1 do reply 250 ok then delay 50 then {action}")
    client = Client(server.url, "--mails", 2, "--pause", 300)
    assert client.fates == ["sent"] * 2
    assert client.ends[0].stage == "idle"
    assert client.ends[0].code == (421 if "421" in action else 0)
    assert server.summary()["connections"] == 2


def test_case_64_server_closes_after_n_mails():
    """No mail is sent twice over it, whatever the moment of the close."""
    taken = []

    def serve(peer, lines):
        greet(peer, lines, b"PIPELINING")
        for _ in range(25):
            envelope(peer, lines)
            taken.append(until_dot(lines))
            peer.sendall(b"250 ok\r\n")

    with scripted(serve) as url:
        client = Client(url, "--mails", 250)
    assert client.fates == ["sent"] * 250
    assert len(taken) == 250


def test_idle_connection_says_quit(fake):
    server = fake()
    client = Client(server.url, "--idle", 200)
    assert (client.end.stage, client.end.code) == ("quit", 221)
    assert client.seconds < 2


@pytest.mark.parametrize("action", ["silence", "drop", "rst", "reply 500 what"])
def test_quit_is_noise(fake, action):
    """Case 8: what follows a 250 cannot change it."""
    server = fake(f"on quit do {action}")
    client = Client(server.url)
    assert client.mail.outcome == "sent"
    assert (client.end.stage, client.end.code) == ("quit", 221)
    assert client.seconds < 4


def test_quit_past_the_dot_waits_for_the_verdict(fake):
    server = fake("on dot do delay 300 then accept")
    client = Client(server.url, "--quit-at-dot")
    assert (client.mail.outcome, client.end.code) == ("sent", 221)


# ---- replies -------------------------------------------------------------------------------------

def test_replies_of_any_shape():
    long = b"x" * 3000
    replies = iter([
        b"250\r\n",
        b"250-2.0.0 one\r\n250-2.0.0 two\r\n250 2.0.0 three\r\n",
        b"250 ok\n",
        b"550 " + long + b"\r\n",
        b"550 nul \x00 bell \x07 high \xff end\r\n",
        b"550 5.1.1\r\n",
        "550 für dich\r\n".encode(),
        b"250 OK id=1abCde-0001\r\n",
    ])

    def serve(peer, lines):
        greet(peer, lines)
        while lines.readline().startswith(b"MAIL"):
            peer.sendall(b"250 ok\r\n")
            lines.readline()
            peer.sendall(b"250 ok\r\n")
            lines.readline()
            peer.sendall(b"354 go\r\n")
            until_dot(lines)
            for byte in next(replies):
                peer.sendall(bytes([byte]))

    with scripted(serve) as url:
        mails = Client(url, "--mails", 8).mails
    assert [m.code for m in mails] == [250, 250, 250, 550, 550, 550, 550, 250]
    assert mails[0].text == ""
    assert (mails[1].enhanced, mails[1].text) == ("2.0.0", "one two three")
    assert mails[3].text.startswith("xxx") and len(mails[3].text) <= 511
    assert mails[4].text == "nul \\x00 bell \\x07 high \\xff end"
    assert (mails[5].enhanced, mails[5].text) == ("5.1.1", "")
    assert mails[6].text == "für dich"
    assert mails[7].queue_id == "1abCde-0001"


@pytest.mark.parametrize("flood", [b"250-more\r\n", b"x" * 1000, b"\r\n", b"\n", b"999 what\r\n"])
def test_floods_end_the_connection(flood):
    """Without end, but each turn of the loop stays short."""
    def serve(peer, lines):
        greet(peer, lines)
        lines.readline()
        for _ in range(100000):
            peer.sendall(flood * 100)

    with scripted(serve) as url:
        client = Client(url)
    assert (client.mail.outcome, client.mail.err) == ("not_sent", PROTOCOL)
    assert client.counts["stall_ms"] < 200


@pytest.mark.parametrize("before", [b"", b"220 here\r\n"], ids=["greeting", "ehlo"])
@pytest.mark.parametrize("flood", [b"250-more\r\n", b"220-more\r\n", b"x" * 1000, b"\n"])
def test_floods_before_it_is_ready_end_the_connection(before, flood):
    def serve(peer, _):
        peer.sendall(before)
        for _ in range(100000):
            peer.sendall(flood * 100)

    with scripted(serve) as url:
        client = Client(url)
    assert (client.mails, client.end.err) == ([], PROTOCOL)
    assert client.end.stage == ("ehlo" if before else "greet") and client.end.text
    assert client.counts["stall_ms"] < 200


# ---- bytes ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("body", [
    b"a\r\n.\r\nb\r\n", b".\r\n..\r\n.x\r\n", b"one\ntwo\rthree\r\nfour", b"x\n.\n", b"x\r.\r",
    b"\n.\nMAIL FROM:<evil@example>\n", b"", b"\r\n\r\n", b"\r\r\n\n\r", b"." * 4000,
])
def test_body_arrives_and_smuggles_nothing(tmp_path, body):
    """Every line end is CRLF on the wire; the dot that ends the mail is ours alone."""
    path = tmp_path / "body"
    path.write_bytes(body)
    raw = []

    def serve(peer, lines):
        greet(peer, lines, b"PIPELINING")
        envelope(peer, lines)
        raw.append(until_dot(lines))
        peer.sendall(b"250 ok\r\n")
        raw.append(lines.readline())
        peer.sendall(b"221 bye\r\n")

    with scripted(serve) as url:
        assert Client(url, "--body", path).mail.outcome == "sent"
    wire, after = raw
    assert after == b"QUIT\r\n"
    assert b"\r" not in wire.replace(b"\r\n", b"") and b"\n" not in wire.replace(b"\r\n", b"")
    got = [line[1:] if line.startswith(b".") else line for line in wire.split(b"\r\n")]
    want = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    if want[-1]:
        want.append(b"")
    assert got == want
    assert not any(re.fullmatch(rb"\.", line) for line in wire.split(b"\r\n"))


def test_large_body_is_whole(fake):
    server = fake()
    assert Client(server.url, "--size", 20_000_000).mail.outcome == "sent"
    body, = map(server.data, server.mails())
    assert len(body) >= 20_000_000
    assert body.count(b"quick brown fox") == (len(body) - body.index(b"\r\n\r\n")) // 61


@pytest.mark.parametrize("address", [
    "a@b.example>\r\nRCPT TO:<evil@example", "a b@c.example", "<a@b.example>", "a@b.example\n", "",
    "a\x01@b.example", "ä@b.example", "x" * 330,
])
def test_addresses_that_are_commands(fake, address):
    server = fake()
    done = subprocess.run([BUILD / "bench-smtp_client", "--to", address, server.url], timeout=10,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 64
    assert b"invalid input" in done.stderr


# ---- time ----------------------------------------------------------------------------------------

def test_case_68_silence_at_the_dot_delays_nobody(fake):
    """One server reply that takes 2 s; the other connections go on as if nothing was."""
    slow = fake("on dot to slow@* do delay 2000 then accept", "on dot do delay 1 then accept")
    client = Client(slow.url, "--connections", 4, "--mails", 400,
                    "--to", "slow@sink.example", *["--to", "fast@sink.example"] * 63)
    alone = Client(fake("on dot do delay 1 then accept").url, "--connections", 4, "--mails", 400)
    assert client.counts["sent"] == 400
    assert client.counts["stall_ms"] < max(3 * alone.counts["stall_ms"], 50)


def test_virtual_time_waits_for_servers(fake):
    """The slot's 30 s and the idle 60 s leap; the server's 300 ms do not, or a limit would pass."""
    server = fake("on mail do delay 300 then accept", "on dot do delay 300 then accept",
                  "on connect do delay 300 then accept")
    client = Client(server.url, "--fast-forward", "--slot", 30000, "--idle", 50000,
                    "--limit", 10000)
    assert client.mail.outcome == "sent"
    assert (client.end.stage, client.end.code) == ("quit", 221)
    assert 0.8 < client.seconds < 5


def test_name_resolution(fake):
    server = fake()
    port = server.url.rsplit(":", 1)[1]
    assert Client(f"smtp://localhost:{port}").mail.outcome == "sent"
    assert Client(f"smtp://[::1]:{port}", "--limit", 3000).end.stage == "connect"


def test_many_connections(fake):
    server = fake()
    client = Client(server.url, "--connections", 300, "--mails", 3000, seconds=60)
    assert client.counts["sent"] == 3000
    assert len(server.mails()) == 3000
    assert server.summary()["connections"] == 300
