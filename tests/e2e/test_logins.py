"""Whole campaigns through the daemon to a server that wants TLS and a login: what goes out is in the
ledger, what does not is explained with its remedy, and the password is said nowhere."""
import base64
import os
import urllib.parse

import pytest

import oracle
from daemon import ALI, Coldmail, addresses, campaign, mailbox
from echo_smtp import EchoSmtp
from support import wait_until

SECRET = "p+ss w0rd/\u00fc%40\""
OTHER = "another-one"
IMPLICIT = pytest.mark.parametrize("implicit", [False, True], ids=["starttls", "smtps"])


def secret_file(folder, text=SECRET, mode=0o600, name="password"):
    file = folder / name
    file.write_text(text + "\n")
    file.chmod(mode)
    return file


def server_options(certs, implicit=True, cert="good", user=f"ali:{SECRET}"):
    return [*(["--tls"] if implicit else []), *getattr(certs, cert).options, "--user", user]


def secured(tmp_path, certs, server, implicit=True, **keys):
    """A mailbox that logs in as `ali` at SERVER, over TLS."""
    scheme = "smtps" if implicit else "smtp"
    keys = {"user": "ali", "password_file": f'"{tmp_path / "password"}"', **keys}
    return mailbox(ALI, smtp=f'"{scheme}://localhost:{server.port}"', tls="required",
                   ca_file=f'"{certs.ca}"', **keys)


def binding(coldmail):
    """What binds of `why`."""
    [reason] = [r for r in coldmail.ctl("why") if r["binds"]]
    return reason


@IMPLICIT
def test_a_campaign(tmp_path, fake, certs, implicit):
    secret_file(tmp_path)
    server = fake(*server_options(certs, implicit))
    box = secured(tmp_path, certs, server, implicit, connections=2, mails_per_connection=7)
    with Coldmail(tmp_path, box, campaign(steps=("intro", "nudge"))) as coldmail:
        coldmail.import_leads(addresses(20))
        assert coldmail.fast_forward()[0] == 0
        mails = server.mails()
        assert len(mails) == 40
        assert {(m.user, m.tls) for m in mails} == {("ali", "TLSv1.3")}
        assert server.summary()["connections"] >= 40 // 7
        # A report of its fate will name the mail by its Message-ID.
        assert all(f"ENVID={m.message_id.strip('<>')}" in m.parameters for m in mails)
        oracle.check(coldmail, mails)


def test_a_secret_from_systemd(tmp_path, fake, certs):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    secret_file(credentials, mode=0o440, name="ali")
    server = fake(*server_options(certs))
    box = secured(tmp_path, certs, server, password_file='"credential:ali"')
    with Coldmail(tmp_path, box, campaign()) as coldmail:
        environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(credentials)}
        coldmail.start(environment=environment)
        coldmail.import_leads(addresses(2))
        coldmail.wait_sent(2)
        assert coldmail.stop() == 0


def test_the_store_is_looked_after_without_secrets(tmp_path):
    """With the daemon down, by who may not read them, or where systemd has not handed them out; a
    check says what it could not see, and a start needs them."""
    box = mailbox(ALI, 25, user="ali", password_file='"credential:ali"')
    with Coldmail(tmp_path, box, campaign()) as coldmail:
        coldmail.import_leads(addresses(2))
        assert len(coldmail.ctl("leads", "list")) == 2
        coldmail.spawn("--check")
        assert coldmail.wait() == 0 and "warning: 'credential:ali': there" in coldmail.tail()
        coldmail.spawn()
        assert coldmail.wait() == 78 and "expected a start by systemd with" in coldmail.tail()


def traces(text):
    """Every form in which TEXT may be seen."""
    raw = text.encode()
    return {
        raw, base64.b64encode(raw), base64.b64encode(b"\0ali\0" + raw).rstrip(b"="),
        urllib.parse.quote(text).encode(), urllib.parse.quote_plus(text).encode(),
        raw.decode().encode("latin-1"), raw.replace(b'"', b'\\"'),
    }


def test_no_secret_is_said(tmp_path, fake, certs):
    """Nor when the log has every word, the login is refused, and the configuration is changed."""
    secret_file(tmp_path)
    server = fake(*server_options(certs), rules=["on auth times 1 do reply 454 4.7.0 Not now"])
    debug = 'log { level = debug }\n'
    box = secured(tmp_path, certs, server)
    said = []
    with Coldmail(tmp_path, debug, box, campaign(steps=("intro", "nudge"))) as coldmail:
        coldmail.start()
        said += [open(f"/proc/{coldmail.process.pid}/{name}", "rb").read()
                 for name in ("cmdline", "environ")]
        coldmail.import_leads(addresses(3))
        wait_until(lambda: coldmail.events("mailbox_fault"), what="the first login fails")
        commands = [["why"], ["why", ALI], ["status"], ["mailboxes"], ["sends"], ["leads", "list"],
                    ["campaigns"], ["preview", "founders"], ["audit"], ["version"]]
        said += [coldmail.ctl(*c, status=None).stdout.encode() for c in commands]
        said += [coldmail.ctl(*c, status=None).stderr.encode() for c in commands]
        coldmail.ctl("resume", "mailbox", ALI)
        coldmail.wait_sent(6)

        secret_file(tmp_path, OTHER)
        done = coldmail.ctl("reload", status=None)
        assert done.returncode == 0 and "has another content" in done.stdout
        said += [done.stdout.encode(), done.stderr.encode()]
        (tmp_path / "password").chmod(0o644)
        done = coldmail.ctl("reload", status=None)
        assert done.returncode == 78 and "chmod 640" in done.stdout + done.stderr
        said += [done.stdout.encode(), done.stderr.encode()]
        coldmail.ctl("backup", str(tmp_path / "copy.db"))
        assert coldmail.stop() == 0
        kept = [f for f in tmp_path.rglob("*") if f.is_file() and f.name != "password"
                and "fake" not in f.relative_to(tmp_path).parts[0]]
        assert {coldmail.log, coldmail.store, tmp_path / "copy.db"} <= set(kept)
        said += [f.read_bytes() for f in kept]
    for trace in traces(SECRET) | traces(OTHER):
        assert not any(trace in text for text in said), trace


def everything_said(coldmail):
    """The log, the answers, and all that is kept, as bytes."""
    said = [coldmail.ctl(*c, status=None).stdout for c in (["why"], ["why", ALI], ["mailboxes"],
                                                           ["sends"], ["leads", "list"])]
    assert coldmail.stop() == 0
    kept = [coldmail.log, *coldmail.folder.glob("store.db*")]
    return "".join(said).encode() + b"".join(f.read_bytes() for f in kept)


@pytest.mark.parametrize("at, words", [
    ("auth", lambda coded, decoded: f"535 5.7.8 authentication failed for {decoded}!"),
    ("auth", lambda coded, decoded: f"535 5.7.8 bad: AUTH PLAIN {coded}"),
    ("auth", lambda coded, decoded: f"334 {coded}"),
    ("auth", lambda coded, decoded: f"535-5.7.8 {'x' * 470}\r\n535 5.7.8 {decoded}"),
    ("mail", lambda coded, decoded: f"what is {decoded}?"),
    ("mail", lambda coded, decoded: f"451 4.7.1 {decoded} has to wait"),
    ("rcpt", lambda coded, decoded: f"550 5.7.1 {coded} may not"),
], ids=["decoded", "coded", "asked", "cut", "garbage", "mail", "rcpt"])
def test_a_server_that_repeats_the_password(tmp_path, at, words):
    secret = "p+ss w0rd/%40-hunter2"
    secret_file(tmp_path, secret)
    with EchoSmtp(words, at) as server:
        box = mailbox(ALI, server.port, user="ali", password_file=f'"{tmp_path / "password"}"')
        with Coldmail(tmp_path, "log { level = debug }\n", box, campaign()) as coldmail:
            coldmail.import_leads(addresses(1))
            coldmail.start()
            wait_until(lambda: coldmail.events("mailbox_fault") + coldmail.events("send"),
                       what="what the server said")
            said = everything_said(coldmail)
        assert server.said and (secret in server.said[0] or base64.b64encode(
            f"\0ali\0{secret}".encode()).decode() in server.said[0])
        assert b"***" in said
        assert not any(trace in said for trace in traces(secret))
        assert secret[:8].encode() not in said


def test_another_login_counts_from_the_next_mail_on(tmp_path, fake, certs):
    """The mail under way ends as it began; the connection goes with it."""
    secret_file(tmp_path)
    server = fake(*server_options(certs), "--user", f"bob:{OTHER}", "--verbose",
                  rules=["on dot times 1 do delay 1500"])
    box = secured(tmp_path, certs, server)
    with Coldmail(tmp_path, box, campaign()) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(5))
        wait_until(lambda: "DATA" in server.err.read_text(), what="a mail under way")
        secret_file(tmp_path, OTHER)
        coldmail.configure(secured(tmp_path, certs, server, user="bob"), campaign())
        changes = coldmail.ctl("reload", status=None).stdout
        assert "user" in changes and OTHER not in changes
        coldmail.wait_sent(5)
        assert coldmail.stop() == 0
        assert [m.user for m in server.mails()] == ["ali"] + ["bob"] * 4
        assert server.summary()["connections"] == 2
        oracle.check(coldmail, server.mails())


def test_a_wrong_password(tmp_path, fake, certs):
    """Told with its remedy; no storm of logins; the leads wait, and go when the password is right."""
    secret_file(tmp_path, OTHER)
    reply = ("535 5.7.8 Username and Password not accepted. For more information, go to "
             "https://support.google.com/mail/?p=BadCredentials")
    server = fake(*server_options(certs), "--verbose", rules=[f"on auth times 2 do reply {reply}"])
    with Coldmail(tmp_path, secured(tmp_path, certs, server), campaign()) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(10))
        wait_until(lambda: coldmail.events("mailbox_fault"), what="the login fails")
        reason = binding(coldmail)
        assert reason["subject"] == f"mailbox {ALI}" and reason["until"]
        for shown in (reason["value"], coldmail.events("mailbox_fault")[0]["why"]):
            assert shown.startswith("535 5.7.8 Username and Password not accepted")
            assert "app password" in shown and "https://myaccount.google.com/apppasswords" in shown
        assert coldmail.events("mailbox_fault")[0]["fault"] == "auth"
        assert coldmail.states() == {("queued", ""): 10}
        assert coldmail.count("SELECT count(*) FROM attempts") == 0
        assert server.summary()["connections"] == 1

        secret_file(tmp_path)
        server.set_rules()
        coldmail.ctl("reload")
        coldmail.wait_sent(10)
        assert coldmail.stop() == 0
        oracle.check(coldmail, server.mails())


@pytest.mark.parametrize("cert, says, remedy", [
    ("wrong_name", "target host name 'localhost'", "expected a certificate for 'localhost'"),
    ("expired", "certificate has expired", "needs a new certificate"),
    ("self_signed", "self-signed certificate", "ca_file"),
])
def test_a_certificate_that_proves_nothing(tmp_path, fake, certs, cert, says, remedy):
    secret_file(tmp_path)
    server = fake(*server_options(certs, cert=cert), "--verbose")
    with Coldmail(tmp_path, secured(tmp_path, certs, server), campaign()) as coldmail:
        coldmail.start()
        coldmail.import_leads(addresses(3))
        wait_until(lambda: coldmail.events("mailbox_fault"), what="the certificate is refused")
        reason = binding(coldmail)
        assert reason["reason"] == "mailbox_tls"
        assert says in reason["value"] and remedy in reason["value"]
        assert coldmail.events("mailbox_fault")[0]["fault"] == "tls"
        assert coldmail.stop() == 0
        assert "AUTH" not in server.err.read_text() and server.mails() == []


def test_a_mail_larger_than_the_server_takes(tmp_path, fake):
    """It is not offered, and holds up nobody else."""
    server = fake("--caps", "PIPELINING SIZE=600")
    with Coldmail(tmp_path, mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.template("intro", "Subject: Hello\n\n{{long|short}}\n")
        coldmail.start()
        coldmail.import_leads([{"email": "a@take.example", "long": "word " * 150},
                               {"email": "b@take.example", "long": ""}])
        wait_until(lambda: len(coldmail.events("send")) == 2, what="two attempts")
        assert coldmail.stop() == 0
        [event] = [e for e in coldmail.events("send") if e["to"] == "a@take.example"]
        assert event["code"] == 552 and "takes mails of at most 600 bytes" in event["reply"]
