"""fake-smtp does what its rules say, at each verb, and its list can be trusted: every other test of
sending rests on that."""
import collections
import concurrent.futures
import hashlib
import os
import re
import resource
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from dialogue import BODY, EHLO, FROM, TO, Client
from fake_smtp import FakeSmtp
from support import BUILD, REPOSITORY, missing, wait_until

PROGRAM = BUILD / "fake-smtp"
VERBS = ["connect", "ehlo", "mail", "rcpt", "data", "body", "dot", "rset", "noop", "quit"]


@pytest.fixture(scope="module")
def obedient(tmp_path_factory):
    """A server without rules, for all tests that need nothing else."""
    with FakeSmtp(tmp_path_factory.mktemp("obedient")) as server:
        yield server


Wire = collections.namedtuple("Wire", "options context")  # a server's, its client's


@pytest.fixture(params=["clear", "tls"])
def wire(request):
    """What misbehaves does so over TLS, too."""
    if request.param == "clear":
        return Wire([], None)
    certs = request.getfixturevalue("certs")
    return Wire(["--tls", *certs.good.options], ssl.create_default_context(cafile=certs.ca))


def run(*options):
    return subprocess.run([PROGRAM, *options], timeout=10, capture_output=True, text=True)


# ---- the normal way ------------------------------------------------------------------------------
def test_a_mail_is_kept_byte_by_byte(fake):
    server = fake()
    text = ("From: me@send.example\r\nMessage-ID:\r\n <folded@send.example>\r\n\r\n"
            ".dot\r\n..two\r\n\xe4\r\nend\r\n").encode()
    before = time.time() * 1000
    with smtplib.SMTP("127.0.0.1", server.port) as client:
        client.sendmail("me@send.example", ["a@take.example", '"b, c"@take.example'], text)
    [mail] = server.mails()
    assert mail[:1] + mail[2:5] == (1, "me@send.example", ["a@take.example", '"b, c"@take.example'],
                                    "<folded@send.example>")
    assert before - 1 <= mail.ms <= time.time() * 1000 + 1
    assert server.data(mail) == text
    assert mail.sha256 == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 54, 55, 56, 63, 64, 65, 119, 120, 5000])
def test_the_hash_at_every_kind_of_length(obedient, size):
    body = (b"x" * size)[:-2] + b"\r\n" if size >= 2 else b""
    Client(obedient).mail(body=body)
    assert obedient.mails()[-1].sha256 == hashlib.sha256(body).hexdigest()


def test_an_empty_sender_and_no_message_id(fake):
    server = fake()
    client = Client(server)
    client.mail(sender=b"MAIL FROM:<>\r\n", body=b"\r\nMessage-ID: <in@the.body>\r\n")
    client.mail(body=b"Message-ID:\r\nSubject: the id is empty\r\n")
    assert [(m.sender, m.message_id) for m in server.mails()] == \
        [("<>", "-"), ("me@send.example", "-")]


def test_nothing_is_kept_unasked(tmp_path):
    port = tmp_path / "port"
    with subprocess.Popen([PROGRAM, "--port-file", port, "--quiet"], cwd=tmp_path,
                          stdout=subprocess.PIPE) as process:
        wait_until(port.exists)
        with smtplib.SMTP("127.0.0.1", int(port.read_text())) as client:
            client.sendmail("a@send.example", "b@take.example", BODY)
        process.terminate()
        assert process.communicate(timeout=10)[0] == b""
    assert process.returncode == 0 and os.listdir(tmp_path) == ["port"]


def test_pipelined_in_one_segment(fake):
    server = fake()
    client = Client(server)
    client.send(FROM + TO + b"RCPT TO:<>\r\n" + TO + b"DATA\r\n")
    assert [client.reply()[0][:3] for _ in range(5)] == [b"250", b"250", b"501", b"250", b"354"]
    client.send(BODY + b".\r\n" + FROM + b"RSET\r\nNOOP\r\nQUIT\r\n")
    assert [client.reply()[0][:3] for _ in range(5)] == [b"250"] * 4 + [b"221"]
    assert client.rest() == b"" and len(server.mails()) == 1


def test_byte_by_byte(fake):
    server = fake()
    client = Client(server)
    body = b".\r\r\n.\n..\r\n\r.\r\n\n.\r\n"
    for data, code in [(FROM, 250), (TO, 250), (b"DATA\r\n", 354),
                       (body.replace(b"\r\n.", b"\r\n..").replace(b".", b"..", 1) + b".\r\n", 250)]:
        for i in range(len(data)):
            client.send(data[i:i + 1])
            time.sleep(0.0005)
        client.expect(code)
    [mail] = server.mails()
    assert server.data(mail) == body


def test_a_body_cut_anywhere_is_the_same(fake):
    server = fake()
    client = Client(server)
    wire, text = b"..\r\na\r\n..b\r\n\r\n...\r\n.\r\n", b".\r\na\r\n.b\r\n\r\n..\r\n"
    for cut in range(1, len(wire)):
        client.ask(FROM + TO + b"DATA\r\n", 250)
        client.expect(250)
        client.ask(b"", 354)
        client.send(wire[:cut])
        time.sleep(0.002)
        client.ask(wire[cut:], 250)
    assert {server.data(m) for m in server.mails()} == {text}
    assert len(server.mails()) == len(wire) - 1


def test_a_client_that_does_not_read_is_not_read_from(fake):
    server = fake()
    client = Client(server)
    lines = 200_000
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sending = pool.submit(client.send, b"NOOP\r\n" * lines + b"QUIT\r\n")
        time.sleep(0.5)
        assert client.rest().count(b"250 2.0.0 Ok\r\n") == lines
        sending.result(10)


# ---- order and form ------------------------------------------------------------------------------
@pytest.mark.parametrize("lines, code", [
    ([FROM], 503), ([TO], 503), ([b"DATA\r\n"], 503),
    ([EHLO, TO], 503), ([EHLO, b"DATA\r\n"], 503), ([EHLO, FROM, FROM], 503),
    ([EHLO, FROM, b"DATA\r\n"], 554), ([EHLO, FROM, b"RSET\r\n", TO], 503),
    ([EHLO, FROM, EHLO, TO], 503), ([EHLO, FROM, b"RCPT TO:<>\r\n"], 501),
    ([b"NONSENSE\r\n"], 500), ([b"\r\n"], 500), ([b"NOOP\n"], 500), ([b"NO\0OP\r\n"], 500),
    ([b"NOOP " + b"x" * 3000 + b"\r\n"], 500), ([b"NOOP " + b"x" * 30000 + b"\r\n"], 500),
    ([b"EHLO\r\n"], 501), ([b"QUIT now\r\n"], 501), ([b"noop anything\r\n"], 250),
    ([EHLO, b"MAIL FROM: <a@b>\r\n"], 501), ([EHLO, b"MAIL FROM:a@b\r\n"], 501),
    ([EHLO, b"MAIL FROM:<a b@c>\r\n"], 501), ([EHLO, b"MAIL FROM:<a@b\r\n"], 501),
    ([EHLO, b'mail from:<"a> b"@c>\r\n'], 250), ([EHLO, b"MAIL FROM:<\xc3\xa4@b>\r\n"], 553),
    ([EHLO, b"MAIL FROM:<a@b> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x\r\n"], 250),
    ([EHLO, b"MAIL FROM:<a@b> SIZE=99999999999\r\n"], 552),
    ([EHLO, b"MAIL FROM:<a@b> SIZE=x\r\n"], 501), ([EHLO, b"MAIL FROM:<a@b> X=1\r\n"], 555),
    ([EHLO, b"MAIL FROM:<a@b> NOTIFY=NEVER\r\n"], 555),
    ([b"HELO x\r\n", b"MAIL FROM:<a@b> SIZE=1\r\n"], 555),
    ([EHLO, FROM, b"RCPT TO:<a@b> NOTIFY=FAILURE,DELAY ORCPT=rfc822;a@b\r\n"], 250),
])
def test_order_and_form(obedient, lines, code):
    client = Client(obedient, greet=False)
    client.expect(220)
    for line in lines[:-1]:
        client.ask(line, 250)
    client.ask(lines[-1], code)
    client.ask(b"NOOP\r\n", 250)


def test_capabilities(fake):
    server = fake("--caps", "SIZE=1000 8BITMIME X-ONE=two", "--no-cap", "8bitmime")
    client = Client(server, greet=False)
    client.expect(220)
    assert client.ask(b"EHLO x\r\n", 250)[1:] == [b"250-SIZE 1000", b"250 X-ONE two"]
    client.ask(b"MAIL FROM:<a@b> BODY=8BITMIME\r\n", 555)
    client.ask(b"MAIL FROM:<a@b> SIZE=1001\r\n", 552)
    client.mail(552, body=b"x" * 999 + b"\r\n")
    client.mail(250, body=b"x" * 998 + b"\r\n")
    client.send(FROM + TO)  # PIPELINING is not offered
    client.expect(554)
    assert client.rest() == b""
    assert server.summary() == {"accepted": 1, "refused": 2, "connections": 1}


def test_a_body_sent_before_354_is_refused(fake):
    server = fake()
    client = Client(server)
    client.send(FROM + TO + b"DATA\r\n" + BODY + b".\r\n")
    assert re.fullmatch(rb"250 .*\r\n250 .*\r\n554 .*\r\n", client.rest())
    assert server.mails() == []


# ---- actions -------------------------------------------------------------------------------------
@pytest.mark.parametrize("code", [421, 550])
@pytest.mark.parametrize("verb", VERBS + ["helo"])
def test_refused_at_each_verb(fake, wire, verb, code):
    server = fake(*wire.options, rules=[f"on {verb} do reply {code} No thanks, then or now"])
    client = Client(server, False, wire.context).go_to(verb)
    assert client.expect(code) == [b"%d No thanks, then or now" % code]
    if verb == "quit":
        assert client.rest() == b""
    assert server.mails() == []
    assert server.summary()["refused"] == (verb in ("mail", "rcpt", "data", "dot"))


@pytest.mark.parametrize("verb", VERBS)
def test_dropped_at_each_verb(fake, wire, verb):
    server = fake(*wire.options, rules=[f"on {verb} do drop"])
    client = Client(server, False, wire.context).go_to(verb)
    assert client.rest() == b""
    for _ in range(3):  # a FIN, and no RST for what the client still says
        client.send(b"more\r\n")
        time.sleep(0.01)
    assert server.mails() == []


@pytest.mark.parametrize("verb", VERBS)
def test_reset_at_each_verb(fake, wire, verb):
    server = fake(*wire.options, rules=[f"on {verb} do rst"])
    assert Client(server, False, wire.context).go_to(verb).ends_by_reset()
    assert server.mails() == []


def rule_fired(server):
    """Waits for that; the server has to be --verbose."""
    wait_until(lambda: "* rule" in server.err.read_text(), what="a rule")


@pytest.mark.parametrize("verb", VERBS)
def test_silent_at_each_verb(fake, wire, verb):
    server = fake("--verbose", *wire.options, rules=[f"on {verb} times 1 do silence"])
    client = Client(server, False, wire.context).go_to(verb)
    rule_fired(server)
    Client(server, context=wire.context).mail()  # others are served
    client.send(b"NOOP\r\n.\r\n" * 3)
    assert client.nothing_comes() and len(server.mails()) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_partial_at_each_verb(fake, wire, verb):
    server = fake(*wire.options, rules=[rf'on {verb} do partial "2\x35\x30 \""'
                          r' then delay 100 then partial "\\" then drop'])
    client = Client(server, False, wire.context).go_to(verb)
    assert client.socket.recv(100) == b'250 "'
    assert client.rest() == b"\\" and server.mails() == []


@pytest.mark.parametrize("verb", VERBS)
def test_delayed_at_each_verb(fake, wire, verb):
    server = fake("--verbose", *wire.options, rules=[f"on {verb} times 1 do delay 400"])
    begin = time.monotonic()
    client = Client(server, False, wire.context).go_to(verb)
    rule_fired(server)
    Client(server, context=wire.context).mail()  # others are served
    assert client.nothing_comes(0.01)
    if verb == "body":
        client.send(b"x\r\n.\r\n")
    client.expect({"connect": 220, "data": 354, "quit": 221}.get(verb, 250))
    assert 0.4 <= time.monotonic() - begin < 5
    assert len(server.mails()) == 1 + (verb in ("body", "dot"))


def test_accepted_but_the_client_never_learns(fake, wire):
    server = fake(*wire.options)
    for number, (actions, end) in enumerate([
            ("accept then drop", b""), ("accept then partial 250 then drop", b"250"),
            ("accept then delay 50 then partial \"250 2.\" then drop", b"250 2.")], 1):
        server.set_rules(f"on dot do {actions}")
        assert Client(server, False, wire.context).go_to("dot").rest() == end
        assert len(server.mails()) == number
    server.set_rules("on dot do accept then rst")
    assert Client(server, False, wire.context).go_to("dot").ends_by_reset()
    server.set_rules("on dot do accept then silence")
    assert Client(server, False, wire.context).go_to("dot").nothing_comes()
    assert len(server.mails()) == 5
    server.set_rules("on dot do accept then reply 451 Said the liar")
    Client(server, False, wire.context).go_to("dot").expect(451)
    assert len(server.mails()) == 6


def test_a_reply_and_then_the_end(fake, wire):
    server = fake(*wire.options, rules=["on dot do reply 250 Fine then rst"])
    client = Client(server, False, wire.context).go_to("dot")
    client.expect(250)
    assert client.ends_by_reset()
    server.set_rules('on mail do reply 421 "4.3.2 Bye" then drop')
    assert Client(server, False, wire.context).go_to("mail").rest() == b"421 4.3.2 Bye\r\n"
    assert len(server.mails()) == 1


def test_a_good_reply_has_the_good_effect(fake):
    server = fake(rules=[
        'on ehlo do reply 250 "me\\nSIZE 10\\nX"', "on mail do reply 250", "on rcpt do reply 251",
        "on data do reply 354", "on dot do reply 250 2.0.0 mine", "on rset do reply 250 gone"])
    client = Client(server, greet=False)
    client.expect(220)
    assert client.ask(b"EHLO x\r\n", 250) == [b"250-me", b"250-SIZE 10", b"250 X"]
    client.ask(FROM, 250)
    assert client.ask(TO, 251) == [b"251 Ok"]
    client.ask(b"DATA\r\n", 354)
    assert client.ask(BODY + b".\r\n", 250) == [b"250 2.0.0 mine"]
    client.ask(FROM, 250)
    client.ask(b"RSET\r\n", 250)
    client.ask(TO, 503)
    assert len(server.mails()) == 1


def test_354_without_recipients(fake):
    """What RFC 2920 3.1 warns of: DATA is accepted though all recipients were refused."""
    server = fake(rules=["on rcpt do reply 550", "on data do reply 354"])
    client = Client(server)
    client.send(FROM + TO + b"DATA\r\n")
    assert [client.reply()[0][:3] for _ in range(3)] == [b"250", b"550", b"354"]
    client.ask(b".\r\n", 554)
    client.ask(FROM, 250)
    assert server.mails() == [] and server.summary()["refused"] == 1


def test_a_refused_greeting(fake):
    server = fake(rules=["on connect do reply 554 Not you"])
    client = Client(server, greet=False)
    client.expect(554)
    client.ask(b"EHLO x\r\n", 503)
    client.ask(b"QUIT\r\n", 221)


# ---- conditions ----------------------------------------------------------------------------------
def codes(server, *recipients):
    """What each of RECIPIENTS is answered in a mail of its own, at RCPT or else at the dot."""
    client, got = Client(server), []
    for address in recipients:
        client.ask(FROM, 250)
        client.send(b"RCPT TO:<%s>\r\n" % address.encode())
        code = int(client.reply()[0][:3])
        if code == 250:
            client.ask(b"DATA\r\n", 354)
            client.send(BODY + b".\r\n")
            code = int(client.reply()[0][:3])
        else:
            client.ask(b"RSET\r\n", 250)
        got.append(code)
    return got


@pytest.mark.parametrize("rules, expected", [
    (["on rcpt to *@B.example do reply 550"], [250, 550, 250, 550]),
    (["on rcpt to b? do reply 551", "on any to x@* do reply 552"], [552, 250, 250, 250]),
    (["on dot to *@b.example do reply 450", "on dot from me@* do reply 451"], [451, 450, 451, 450]),
    (["on rcpt from *@else.example do reply 550"], [250] * 4),
    (["on dot after 2 do reply 452"], [250, 250, 452, 452]),
    (["on dot times 1 do reply 452", "on dot times 2 do reply 451"], [452, 451, 451, 250]),
    (["on dot every 2 do reply 452"], [250, 452, 250, 452]),
    (["on dot every 2 times 1 do reply 452"], [250, 452, 250, 250]),
    (["on rcpt to *@b.example every 2 do reply 452"], [250, 250, 250, 452]),
    (["on rcpt after 1 times 1 to *@b.example do reply 450"], [250, 450, 250, 250]),
    (["# comment", "", "  on dot times 1 do accept", "on dot do reply 450"], [250, 450, 450, 450]),
])
def test_conditions(fake, rules, expected):
    server = fake(rules=rules)
    assert codes(server, "x@a.example", "y@b.example", "z@a.example", "z@B.Example") == expected


def test_rules_of_the_command_line_come_first(fake):
    server = fake("--rule", "on dot times 1 do reply 450", "--rule", "on dot times 1 do reply 451",
                   rules=["on dot times 1 do reply 452"])
    assert codes(server, *["x@a.example"] * 4) == [450, 451, 452, 250]


# ---- the oracle ----------------------------------------------------------------------------------
def test_listed_before_the_250(fake):
    """A server that is killed the moment a 250 arrives has that mail in its list already."""
    for _ in range(20):
        server = fake()
        Client(server, greet=False).go_to("dot").expect(250)
        server.kill()
        assert len(server.mails()) == 1


def test_a_client_that_dies_after_the_dot(fake):
    """What arrived with its dot is accepted, though nobody waits for the answer."""
    server = fake(rules=["on body every 2 do delay 50"])
    for _ in range(50):
        client = Client(server)
        client.ask(FROM + TO + b"DATA\r\n", 250)
        client.expect(250)
        client.expect(354)
        client.send(BODY + b".\r\n")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.socket.close()
    wait_until(lambda: len(server.mails()) == 50, what="50 mails")


def test_a_mail_that_cannot_be_listed_is_not_accepted(fake):
    server = fake("--list", "/dev/full")
    Client(server).mail(451)
    assert list((server.maildir / "new").iterdir()) == []
    assert list((server.maildir / "tmp").iterdir()) == []
    assert server.summary()["accepted"] == 0


def test_a_server_started_again_goes_on(fake):
    first = fake()
    Client(first).mail()
    first.kill()
    with FakeSmtp(first.list.parent) as second:
        assert second.port == first.port
        Client(second).mail()
        assert [m.number for m in second.mails()] == [1, 1]
        assert len({m.file for m in second.mails()}) == 2


def test_thousands_of_mails(fake):
    server = fake(rules=["on dot every 10 do reply 451"])
    mails, clients = 250, 16

    def send(who):
        client, accepted = Client(server), []
        for i in range(mails):
            name = f"{who}.{i}@take.example"
            client.send(FROM + b"RCPT TO:<%s>\r\nDATA\r\n" % name.encode())
            assert [client.reply()[0][:3] for _ in range(3)] == [b"250", b"250", b"354"]
            client.send(BODY + b".\r\n")
            if client.reply()[0].startswith(b"250"):
                accepted.append(name)
        return accepted

    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        accepted = sum(pool.map(send, range(clients)), [])
    assert len(accepted) == mails * clients * 9 // 10
    assert sorted(accepted) == sorted(m.to[0] for m in server.mails())
    assert server.summary() == {"accepted": 3600, "refused": 400, "connections": clients}
    assert len(list((server.maildir / "new").iterdir())) == 3600


def test_two_thousand_connections_at_once(fake):
    server = fake("--banner", "many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    clients = [Client(server, greet=False) for _ in range(2000)]
    for client in clients:
        assert client.expect(220) == [b"220 many"]
    for client in clients:
        client.ask(b"HELO x\r\n", 250)
        client.socket.close()
    assert server.summary()["connections"] == 2000


def test_out_of_descriptors(fake):
    """Whom there is no room for waits for those before."""
    server = fake()
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (20, 20))
    clients = [Client(server, greet=False) for _ in range(40)]
    for client in clients:
        client.expect(220)
        client.ask(b"QUIT\r\n", 221)
        client.socket.close()
    assert server.summary()["connections"] == 40
    assert 1 <= server.err.read_text().count("out of descriptors") <= 40  # and it did not spin


# ---- signals and the command line ----------------------------------------------------------------
def test_other_rules_while_it_runs(fake):
    server = fake(rules=["on rcpt times 2 do reply 550"])
    client = Client(server)
    client.ask(FROM, 250)
    client.ask(TO, 550)
    server.set_rules()
    client.ask(TO, 250)
    server.set_rules("on rcpt times 2 do reply 551")
    client.ask(TO, 551)
    server.set_rules("on rcpt times 1 do delay 200 then reply 552")
    client.send(TO)
    time.sleep(0.05)
    server.set_rules()  # the delayed connection is in the middle of a rule that is gone
    client.expect(552)
    client.ask(TO, 250)


def test_wrong_rules_change_nothing(fake):
    server = fake(rules=["on rcpt do reply 550"])
    server.script.write_text("on rcpt do reply 551\non rcpt do nothing\n")
    server.process.send_signal(1)
    wait_until(server.err.read_text)
    assert f"{server.script}:2: found 'nothing'" in server.err.read_text()
    Client(server, greet=False).go_to("rcpt").expect(550)


def test_the_summary_at_the_end(fake):
    server = fake()
    Client(server).mail()
    server.stop()
    assert server.out.read_text() == \
        f"listening on 127.0.0.1:{server.port}\naccepted 1 refused 0 connections 1\n"
    assert server.err.read_text() == ""


@pytest.mark.parametrize("rule, message", [
    ("in rcpt do drop", "found 'in', expected a rule that begins with 'on'"),
    ("on", "found 'end of line', expected tls, connect, ehlo,"),
    ("on RCPT do drop", "found 'RCPT', expected tls, connect, ehlo,"),
    ("on mail to x do drop", "'to' cannot match at 'mail', expected a verb from 'rcpt'"),
    ("on quit from x do drop", "'from' cannot match at 'quit', expected a verb from 'auth'"),
    ("on rcpt to", "expected a pattern such as *@example.com after 'to'"),
    ("on rcpt after x do drop", "found 'x', expected a number after 'after'"),
    ("on rcpt times 0 do drop", "found 0, expected at least 1 after 'times'"),
    ("on rcpt every -1 do drop", "found '-1', expected a number after 'every'"),
    ("on rcpt", "found 'end of line', expected 'do' or a condition"),
    ("on rcpt do", "found 'end of line', expected an action: accept, reply"),
    ('on rcpt do "drop"', "found 'drop', expected an action: accept, reply"),
    ("on rcpt do drop then accept", "found 'then', but nothing can come after 'drop'"),
    ("on rcpt do accept drop", "found 'drop', expected 'then' or the end of the line"),
    ("on rcpt do reply", "found 'end of line', expected a number after 'reply'"),
    ("on rcpt do reply 99", "found '99', expected a reply code from 200 to 599"),
    ("on rcpt do reply 600", "found '600', expected a number after 'reply' (at most 599)"),
    ('on rcpt do reply 550 "no', "a quoted text has no closing '\"'"),
    ('on rcpt do reply 550 "no"way', "expected a blank after the closing '\"', found 'way'"),
    ("on rcpt do reply 550 a\\q", "unknown escape after '\\', expected one of"),
    ("on rcpt do delay 1s", "found '1s', expected a number after 'delay' (at most 3600000)"),
    ("on rcpt do partial", "expected the bytes to send after 'partial'"),
    ("on rcpt do delay 5 then", "found 'end of line', expected an action: accept, reply"),
])
def test_a_wrong_rule(tmp_path, rule, message):
    script = tmp_path / "rules"
    script.write_text(f"# a comment\n\n{rule}\non rcpt do nothing\n")
    for options, where in [(["--script", script], f"{script}:3"), (["--rule", rule], "--rule:1")]:
        done = run(*options)
        assert done.returncode == 64 and done.stdout == ""
        assert done.stderr.startswith(f"fake-smtp: {where}: {message}")
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options, code, message", [
    (["--script", "/does/not/exist"], 64, "/does/not/exist: No such file"),
    (["--script", "/"], 64, "/: Is a directory"),
    (["--list", "/does/not/exist"], 71, "/does/not/exist: No such file"),
    (["--maildir", "/does/not/exist"], 71, "/does/not/exist: No such file"),
    (["--port-file", "/does/not/exist"], 71, "--port-file /does/not/exist: No such file"),
    (["--listen", "0.0.0.0:0"], 64, "not a loopback address; --allow-remote permits it"),
    (["--listen", "[::]:0"], 64, "not a loopback address; --allow-remote permits it"),
    (["--listen", "localhost:0"], 64, "expected a numeric ADDR:PORT"),
    (["--listen", "127.0.0.1"], 64, "expected a numeric ADDR:PORT"),
    (["--listen", "127.0.0.1:99999"], 64, "expected a numeric ADDR:PORT"),
    (["--no-cap", "NONE"], 64, "--no-cap NONE: not offered anyway"),
    (["--caps", "SIZE=big"], 64, "--caps SIZE=big: expected a number of bytes"),
    (["--caps", " x" * 33], 64, "--caps: expected at most 32 names"),
    (["--nonsense"], 64, "Try fake-smtp --help"),
    (["nonsense"], 64, "'nonsense' is not an option"),
])
def test_a_wrong_command_line(options, code, message):
    done = run(*options)
    assert done.returncode == code and message in done.stderr


def test_an_address_that_is_taken(fake):
    done = run("--listen", f"127.0.0.1:{fake().port}")
    assert done.returncode == 71 and "Address already in use" in done.stderr


def test_ipv6_and_beyond(fake):
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        missing("IPv6")
    with subprocess.Popen([PROGRAM, "--listen", "[::1]:0"], stdout=subprocess.PIPE,
                          text=True) as process:
        assert re.fullmatch(r"listening on \[::1\]:\d+\n", process.stdout.readline())
        process.terminate()


def test_the_example_of_the_manual(fake):
    manual = (REPOSITORY / "docs/fake-smtp.1").read_text()
    example = re.search(r"\.Bd -literal -offset indent\n(.*?)\.Ed", manual, re.S)[1]
    server = fake(rules=example.replace("delay 300", "delay 3").splitlines())
    assert codes(server, "a@Refuse.example", *["b@take.example"] * 9) == [550] + [250] * 9


def test_help_and_version():
    help_text = run("--help")
    assert help_text.returncode == 0 and help_text.stderr == ""
    assert max(map(len, help_text.stdout.splitlines())) <= 80
    assert re.fullmatch(r"fake-smtp \d+\.\d+\.\d+\n", run("--version").stdout)
