"""TLS and logins of fake-smtp: what it offers when, what it takes, and each way to spoil it."""
import base64
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from dialogue import BODY, EHLO, FROM, TO, Client
from support import BUILD, wait_until

USER, SECRET = "me@send.example", "correct horse: battery"
LOGIN = ["--user", f"{USER}:{SECRET}"]
STARTTLS, READY = b"STARTTLS\r\n", 220
MECHANISMS = "AUTH PLAIN LOGIN XOAUTH2"


@pytest.fixture(scope="session")
def context(certs):
    """Of a client that trusts the CA of the tests."""
    return ssl.create_default_context(cafile=certs.ca)


def b64(text):
    return base64.b64encode(text.encode())


def plain(user=USER, secret=SECRET):
    return b64(f"\0{user}\0{secret}")


def bearer(user=USER, token=SECRET):
    return b64(f"user={user}\1auth=Bearer {token}\1\1")


# ---- TLS -----------------------------------------------------------------------------------------
def test_starttls_begins_a_new_dialogue(fake, certs, context):
    server = fake(*certs.good.options)
    client = Client(server, greet=False)
    client.expect(220)
    assert "STARTTLS" in client.capabilities()
    client.ask(FROM, 250)
    client.ask(STARTTLS, READY)
    client.secure(context)
    client.ask(FROM, 503)  # who greeted in the clear has said nothing
    assert "STARTTLS" not in client.capabilities()
    client.ask(STARTTLS, 503)
    client.mail()
    client.ask(b"QUIT\r\n", 221)
    client.socket.suppress_ragged_eofs = False
    assert client.rest() == b""  # with close_notify
    [mail] = server.mails()
    assert mail.tls == "TLSv1.3" and server.data(mail) == BODY


def test_tls_from_the_first_byte_on(fake, certs, context):
    server = fake("--tls", *certs.good.options)
    with smtplib.SMTP_SSL("localhost", server.port, context=context, timeout=10) as client:
        client.sendmail(USER, ["you@take.example"], BODY * 2000)
        assert not client.has_extn("starttls")
    assert [(m.tls, server.data(m)) for m in server.mails()] == [("TLSv1.3", BODY * 2000)]


def test_a_certificate_with_its_key_in_one_file(fake, certs, context, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text(certs.good.cert.read_text() + certs.good.key.read_text())
    Client(fake("--tls", "--cert", both), context=context).mail()


@pytest.mark.parametrize("name, reason", [
    ("expired", "certificate has expired"), ("wrong_name", "Hostname mismatch"),
    ("self_signed", "self-signed certificate"),
])
def test_a_certificate_that_a_client_refuses(fake, certs, context, name, reason):
    server = fake("--verbose", "--tls", *getattr(certs, name).options)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        Client(server, context=context)
    wait_until(lambda: "* tls:" in server.err.read_text(), what="the alert")
    assert server.mails() == []


def test_starttls_is_refused(fake, certs, context):
    server = fake(*certs.good.options, rules=["on starttls times 1 do reply 454 Not today"])
    client = Client(server)
    client.ask(STARTTLS, 454)
    client.mail()
    client.ask(STARTTLS, READY)
    client.secure(context)
    client.ask(EHLO, 250)
    client.mail()
    assert [m.tls for m in server.mails()] == ["-", "TLSv1.3"]


def test_starttls_is_not_offered(fake, certs):
    client = Client(fake(*certs.good.options, "--no-cap", "STARTTLS"))
    assert "STARTTLS" not in client.capabilities()
    client.ask(STARTTLS, 502)


def test_starttls_is_offered_without_a_certificate(fake):
    client = Client(fake("--caps", "STARTTLS"))
    assert client.capabilities() == ["STARTTLS"]
    client.ask(STARTTLS, 454)


def test_more_than_starttls_at_once_is_refused(fake, certs):
    client = Client(fake(*certs.good.options))
    client.send(STARTTLS + FROM)
    client.expect(554)
    assert client.rest() == b""


def test_a_reply_put_in_before_the_handshake(fake, certs, context):
    """What a man in the middle does: the client has to forget it (it is read in the clear here)."""
    server = fake(*certs.good.options,
                  rules=[r'on starttls do reply 220 Go then partial "250 injected\r\n"'])
    client = Client(server)
    client.ask(STARTTLS, READY)
    assert client.expect(250) == [b"250 injected"]
    client.secure(context)
    client.ask(EHLO, 250)
    client.mail()


@pytest.fixture(params=["starttls", "tls"])
def hello(request, fake, certs):
    """hello(*rules): (server, client), the client about to send its ClientHello."""
    def start(*rules):
        options = ["--tls"] if request.param == "tls" else []
        server = fake("--verbose", *options, *certs.good.options, rules=rules)
        client = Client(server, greet=not options)
        client.greeted = not options
        if client.greeted:
            client.ask(STARTTLS, READY)
        return server, client
    return start


def test_garbage_instead_of_a_handshake(hello, context):
    _, client = hello(r'on tls do delay 50 then partial "garbage\r\n" then drop')
    with pytest.raises(ssl.SSLError, match="WRONG_VERSION|packet length|unexpected"):
        client.secure(context)


def test_silence_instead_of_a_handshake(hello, context):
    server, client = hello("on tls do silence")
    client.socket.settimeout(0.15)
    with pytest.raises(TimeoutError):
        client.secure(context)
    assert server.summary()["connections"] == 1


def test_a_connection_that_ends_instead_of_a_handshake(hello, context):
    server, client = hello("on tls times 1 do drop")
    with pytest.raises((ssl.SSLEOFError, ssl.SSLZeroReturnError)):
        client.secure(context)
    server.set_rules("on tls do rst")
    with pytest.raises(OSError):
        Client(server, greet=False, context=context).rest()


def test_a_handshake_after_a_delay(hello, context):
    begin = time.monotonic()
    _, client = hello("on tls do delay 200")
    client.secure(context)
    assert time.monotonic() - begin >= 0.2
    if not client.greeted:
        client.expect(220)
    client.ask(EHLO, 250)
    client.mail()


def test_a_client_that_talks_in_the_clear(hello):
    server, client = hello()
    client.send(EHLO)
    assert b"250" not in client.rest()  # an alert at most
    wait_until(lambda: "* tls:" in server.err.read_text(), what="the failure")
    assert server.mails() == []


def test_a_handshake_byte_by_byte_and_many_at_once(fake, certs, context):
    server = fake("--tls", *certs.good.options)
    clients = [Client(server, greet=False, context=context) for _ in range(200)]
    for client in clients:
        client.expect(220)
        client.ask(EHLO, 250)
        client.mail()
    wire_in, wire_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(wire_in, wire_out, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", server.port), 10) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        for byte in wire_out.read():
            peer.send(bytes([byte]))
        wire_in.write(peer.recv(65536))
        tls.do_handshake()
        for byte in wire_out.read():
            peer.send(bytes([byte]))
        while not (got := _read(tls)):
            wire_in.write(peer.recv(65536))
        assert got.startswith(b"220 ")
    assert len(server.mails()) == 200


def _read(tls):
    try:
        return tls.read()
    except ssl.SSLWantReadError:
        return b""


# ---- logins --------------------------------------------------------------------------------------
@pytest.mark.parametrize("lines, codes", [
    ([b"AUTH PLAIN " + plain()], [235]),
    ([b"auth plain", plain()], [334, 235]),
    ([b"AUTH PLAIN " + b64(f"boss\0{USER}\0{SECRET}")], [235]),
    ([b"AUTH LOGIN", b64(USER), b64(SECRET)], [334, 334, 235]),
    ([b"AUTH LOGIN " + b64(USER), b64(SECRET)], [334, 235]),
    ([b"AUTH XOAUTH2 " + bearer()], [235]),
    ([b"AUTH XOAUTH2", bearer()], [334, 235]),
    ([b"AUTH PLAIN " + plain(secret="wrong")], [535]),
    ([b"AUTH PLAIN " + plain(user="you@send.example")], [535]),
    ([b"AUTH PLAIN " + plain(user=USER[:-1])], [535]),
    ([b"AUTH LOGIN", b64(USER), b64("")], [334, 334, 535]),
    ([b"AUTH XOAUTH2 " + bearer(token="old"), b""], [334, 535]),
    ([b"AUTH XOAUTH2 " + bearer(token="x" * 8000), b"*"], [334, 535]),
    ([b"AUTH PLAIN", b"*"], [334, 501]), ([b"AUTH LOGIN", b64(USER), b"*"], [334, 334, 501]),
    ([b"AUTH PLAIN =", ], [501]), ([b"AUTH PLAIN !!!!"], [501]), ([b"AUTH PLAIN abc"], [501]),
    ([b"AUTH PLAIN " + b64(f"\0{USER}")], [501]),
    ([b"AUTH PLAIN " + b64(f"\0{USER}\0{SECRET}\0")], [501]),
    ([b"AUTH XOAUTH2 " + b64(f"user={USER}\1auth=Basic x\1\1")], [501]),
    ([b"AUTH XOAUTH2 " + b64(f"user={USER}\1auth=Bearer {SECRET}\1")], [501]),
    ([b"AUTH"], [501]), ([b"AUTH CRAM-MD5"], [504]), ([b"AUTH PLAIN " + b"x" * 13000], [500]),
])
def test_a_login(fake, lines, codes):
    server = fake(*LOGIN)
    client = Client(server, greet=False)
    client.expect(220)
    assert MECHANISMS in client.capabilities()
    client.ask(FROM, 530)
    for line, code in zip(lines, codes, strict=True):
        client.ask(line + b"\r\n", code)
    if codes[-1] == 235:
        client.ask(b"AUTH PLAIN " + plain() + b"\r\n", 503)
        client.mail()
        assert [m.user for m in server.mails()] == [USER]
    else:
        client.ask(FROM, 530)


def test_logins_of_several_users(fake):
    server = fake(*LOGIN, "--user", "you:x", "--auth-optional")
    for user, secret in [(USER, SECRET), ("you", "x")]:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=10) as client:
            client.login(user, secret)
            client.sendmail("me@send.example", "you@take.example", BODY)
    Client(server).mail()
    assert [m.user for m in server.mails()] == [USER, "you", "-"]


def test_any_login_where_no_user_is_named(fake):
    server = fake("--caps", "AUTH=LOGIN,PLAIN")
    client = Client(server, greet=False)
    client.expect(220)
    assert client.capabilities() == ["AUTH LOGIN PLAIN"]
    client.ask(b"AUTH XOAUTH2 " + bearer() + b"\r\n", 504)
    client.ask(b"AUTH PLAIN " + plain(secret="whatever") + b"\r\n", 235)
    client.mail()


@pytest.mark.parametrize("when, clear, tls", [
    (None, 538, 235), ("tls", 538, 235), ("always", 235, 235), ("clear", 235, 503)])
def test_where_a_login_is_offered(fake, certs, context, when, clear, tls):
    server = fake(*certs.good.options, *LOGIN, *(["--auth-when", when] if when else []))
    for secure, code in [(False, clear), (True, tls)]:
        client = Client(server)
        if secure:
            client.ask(STARTTLS, READY)
            client.secure(context)
        assert (MECHANISMS in client.capabilities()) == (code == 235)
        client.ask(b"AUTH PLAIN " + plain() + b"\r\n", code)


def test_no_login_is_offered(fake):
    client = Client(fake(*LOGIN, "--no-cap", "AUTH"))
    assert not [cap for cap in client.capabilities() if cap.startswith("AUTH")]
    client.ask(b"AUTH PLAIN " + plain() + b"\r\n", 503)
    client.ask(FROM, 530)


def test_a_login_does_not_outlive_starttls(fake, certs, context):
    client = Client(fake(*certs.good.options, *LOGIN, "--auth-when", "always"))
    client.ask(b"AUTH PLAIN " + plain() + b"\r\n", 235)
    client.ask(STARTTLS, READY)
    client.secure(context)
    client.ask(EHLO, 250)
    client.ask(FROM, 530)


@pytest.mark.parametrize("way", ["AUTH PLAIN", "AUTH XOAUTH2"])
def test_scripted_replies_to_a_login(fake, way):
    said = way.encode() + b" " + (plain() if way.endswith("PLAIN") else bearer()) + b"\r\n"
    server = fake(*LOGIN, rules=[
        "on auth from you* do reply 454 Not you", "on auth times 1 do reply 535 5.7.8 App password",
        "on auth times 1 do reply 454 4.7.0 Later", "on auth times 1 do reply 235 Come in",
        "on auth do accept then drop"])
    client = Client(server)
    client.ask(said, 535)
    client.ask(FROM, 530)
    client.ask(said, 454)
    assert client.ask(said, 235) == [b"235 Come in"]
    client.mail()
    client = Client(server)
    client.send(said)
    assert client.rest() == b""
    server.set_rules("on auth do reply 235 Whoever you are")
    Client(server).ask(b"AUTH PLAIN " + plain(secret="wrong") + b"\r\n", 535)


def test_what_a_login_said_is_not_shown(fake):
    server = fake("--verbose", *LOGIN)
    Client(server).ask(b"AUTH PLAIN " + plain() + b"\r\n", 235)
    client = Client(server)
    client.ask(b"AUTH LOGIN\r\n", 334)
    client.ask(b64(USER) + b"\r\n", 334)
    client.ask(b64(SECRET) + b"\r\n", 235)
    client.ask(b"NOOP later\r\n", 250)
    shown = server.err.read_text()
    assert "< AUTH PLAIN\n" in shown and "< AUTH LOGIN\n" in shown and "< NOOP later" in shown
    assert not any(s.decode() in shown for s in (plain(), b64(USER), b64(SECRET)))


# ---- the list and the command line ---------------------------------------------------------------
def test_parameters_are_listed(fake):
    server = fake()
    client = Client(server)
    client.ask(b"MAIL FROM:<a@b> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2Cy\r\n", 250)
    client.ask(b"RCPT TO:<c@d> NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@d\r\n", 250)
    client.ask(b"RCPT TO:<e@f>\r\n", 250)
    client.ask(b"DATA\r\n", 354)
    client.ask(BODY + b".\r\n", 250)
    client.mail()
    assert [(m.parameters, m.to_parameters, m.user, m.tls) for m in server.mails()] == [
        ("SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x+2Cy",
         ["NOTIFY=FAILURE,DELAY ORCPT=rfc822;c@d", "-"], "-", "-"),
        ("-", ["-"], "-", "-")]


def test_a_wrong_command_line(certs):
    cert, key = map(str, certs.good)
    for options, message in [
            (["--tls"], "--tls: expected --cert FILE with it"),
            (["--key", key], "--key: expected --cert FILE with it"),
            (["--cert", "/does/not/exist"], "--cert /does/not/exist: expected a certificate"),
            (["--cert", key], f"--cert {key}: expected a certificate in PEM: "),
            (["--cert", cert], f"--key {cert}: expected the certificate's key in PEM: "),
            (["--cert", cert, "--key", str(certs.expired.key)], "key values mismatch"),
            (["--user", "me"], "--user me: expected NAME:SECRET"),
            (["--auth-when", "never"], "--auth-when never: expected always, tls or clear")]:
        done = subprocess.run([BUILD / "fake-smtp", *options], timeout=10, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 64 and message in done.stderr, (options, done.stderr)
        assert done.stderr.count("\n") == 1
