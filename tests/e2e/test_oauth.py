"""Logins with OAuth: tokens from a token server, mails through a server that wants XOAUTH2."""
import base64
import json
import socket
import time
import urllib.parse

import pytest

import oracle
from daemon import ALI, Coldmail, addresses, campaign, mailbox
from echo_smtp import EchoSmtp
from fake_smtp import FakeSmtp
from fake_token import FakeToken, refusal, token
from support import free_port, wait_until

REFRESH, SECRET = "refresh-4711-secret", "client-0815-secret"


def secret(folder, name, text):
    file = folder / name
    file.write_text(text + "\n")
    file.chmod(0o600)
    return file


def oauth_mailbox(folder, smtp, tokens, refresh=REFRESH, more="", **keys):
    section = mailbox(ALI, smtp.port, user=f'"{ALI}"', **keys)
    return section.removesuffix("}\n") + f"""
    oauth {{
        token_url = "{tokens.url}"
        client_id = "coldmail-test"
        client_secret_file = "{secret(folder, "client", SECRET)}"
        refresh_token_file = "{secret(folder, "refresh", refresh)}"
        {more}
    }}
}}
"""


def wants(*access):
    """What makes fake-smtp want one of these tokens."""
    return [f"--user={ALI}:{a}" for a in access] + ["--auth-when=always"]


def world(tmp_path, tokens, access=("access-1",), n=3, **keys):
    smtp = FakeSmtp(tmp_path / "smtp", *wants(*access))
    coldmail = Coldmail(tmp_path, oauth_mailbox(tmp_path, smtp, tokens), campaign(**keys))
    coldmail.import_leads(addresses(n))
    return smtp, coldmail


def test_a_token_is_asked_for_once_and_used_for_the_login(tmp_path):
    with FakeToken(token("access-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.run_until_idle()
            assert {m.user for m in smtp.mails()} == {ALI} and len(smtp.mails()) == 3
            assert tokens.forms == [
                {
                    "grant_type": "refresh_token",
                    "client_id": "coldmail-test",
                    "client_secret": SECRET,
                    "refresh_token": REFRESH,
                }
            ]
            assert tokens.agents[0].startswith("coldmail/")
            oracle.check(coldmail, smtp.mails())


def test_a_rotated_refresh_token_outlives_the_process(tmp_path):
    with FakeToken(token("access-1", refresh_token="rotated-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.run_until_idle()
            kept = tmp_path / f"oauth.{ALI}"
            assert kept.stat().st_mode & 0o777 == 0o600
            coldmail.import_leads(addresses(4))
            coldmail.run_until_idle()
            assert [f["refresh_token"] for f in tokens.forms] == [REFRESH, "rotated-1"]
            # The operator authorised again: what was kept for the token before is void.
            coldmail.configure(oauth_mailbox(tmp_path, smtp, tokens, "refresh-2"), campaign())
            coldmail.import_leads(addresses(5))
            coldmail.run_until_idle()
            assert tokens.forms[-1]["refresh_token"] == "refresh-2"
            assert len(smtp.mails()) == 5


def test_a_proxy_of_the_environment_gets_no_secrets(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    with FakeToken(token("access-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.run_until_idle()
            assert len(smtp.mails()) == 3 and len(tokens.forms) == 1


def single_use(seconds):
    """Takes each refresh token once; the first time it takes SECONDS to think about it."""
    valid = [REFRESH]

    def answer(form):
        if form["refresh_token"] != valid[-1]:
            return refusal("invalid_grant")
        valid.append(f"rotated-{len(valid)}")
        rotated = valid[-1]
        if len(valid) == 2:
            time.sleep(seconds)
        return token("access-1", refresh_token=rotated)

    return answer


def test_a_stop_loses_no_rotated_refresh_token(tmp_path):
    with FakeToken(single_use(1.5)) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.start()
            wait_until(lambda: tokens.forms, what="the token server is asked")
            assert coldmail.stop() == 0
            assert "rotated-1" in (tmp_path / f"oauth.{ALI}").read_text()
            assert smtp.mails() == []
            coldmail.run_until_idle()
            assert [f["refresh_token"] for f in tokens.forms] == [REFRESH, "rotated-1"]
            assert len(smtp.mails()) == 3


def test_a_stop_does_not_wait_for_ever_for_a_token_server(tmp_path):
    with FakeToken(single_use(20)) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.conf.write_text("stop_timeout = 1s\n" + coldmail.conf.read_text())
            coldmail.start()
            wait_until(lambda: tokens.forms, what="the token server is asked")
            started = time.monotonic()
            assert coldmail.stop() == 0
            assert 0.9 < time.monotonic() - started < 5


def test_a_stop_does_not_wait_for_a_token_server_that_is_not_reached(tmp_path):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        address = deaf.getsockname()
        crowd = [socket.socket() for _ in range(3)]
        for one in crowd:  # they fill the queue of those who wait: nobody else gets an answer
            one.setblocking(False)
            one.connect_ex(address)
        with FakeToken(token("access-1")) as tokens:
            tokens.url = f"http://127.0.0.1:{address[1]}/token"
            smtp, coldmail = world(tmp_path, tokens)
            with smtp, coldmail:
                coldmail.start()
                time.sleep(0.5)
                started = time.monotonic()
                assert coldmail.stop() == 0
                assert time.monotonic() - started < 5
        for one in crowd:
            one.close()


def test_a_reload_loses_no_rotated_refresh_token(tmp_path):
    """The mailbox has another server, and its login has the token that the old one was given."""
    with FakeToken(single_use(1.5)) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.start()
            wait_until(lambda: tokens.forms, what="the token server is asked")
            section = oauth_mailbox(tmp_path, smtp, tokens)
            other = section.replace("smtp://127.0.0.1", "smtp://localhost")
            assert section != other
            coldmail.configure(other, campaign())
            coldmail.ctl("reload")
            coldmail.wait_sent(3)
            assert coldmail.stop() == 0
            assert [f["refresh_token"] for f in tokens.forms] == [REFRESH, "rotated-1"]
            assert not coldmail.events("mailbox_fault")


@pytest.mark.parametrize("answer", [
    token("access-1", refresh_token="new\nsecond\nline"), token("access-1\x01\x01auth=x"),
    token("access-1", refresh_token="n\u00fc"),
], ids=["rotated", "access", "eightbit"])
def test_a_token_with_a_control_character_is_none(tmp_path, answer):
    with FakeToken(answer) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.start()
            wait_until(lambda: coldmail.events("connect_failed"), what="a refusal")
            assert "other than printable ASCII" in coldmail.events("connect_failed")[0]["why"]
            assert coldmail.stop() == 0
            assert not (tmp_path / f"oauth.{ALI}").exists() and smtp.mails() == []


def test_a_refusal_stops_the_mailbox_with_the_remedy_and_without_a_storm(tmp_path):
    answer = refusal("invalid_grant", error_description="Token has been revoked.")
    with FakeToken(answer) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.start()
            wait_until(lambda: coldmail.events("connect_failed"))
            why = coldmail.events("connect_failed")[0]
            assert why["stage"] == "auth"
            assert "invalid_grant: Token has been revoked." in why["why"]
            assert "replace refresh_token_file" in why["why"]
            assert "invalid_grant" in json.dumps(coldmail.ctl("why", ALI))
            assert coldmail.stop() == 0
            assert smtp.mails() == [] and len(tokens.forms) <= 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"<html>sorry</html>", {}),
        (200, b"no JSON", {}),
        (200, b"{" * 100000, {}),
        (200, b"x" * (1 << 20), {}),
        (200, {"access_token": 7}, {}),
        (302, b"", {"Location": "/elsewhere"}),
        refusal("temporarily_unavailable", 503),
    ],
    ids=["500", "text", "braces", "long", "number", "redirect", "503"],
)
def test_an_answer_without_a_token_is_the_mailboxs_trouble_for_a_while(tmp_path, answer):
    with FakeToken(answer) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.start()
            wait_until(lambda: coldmail.events("connect_failed"))
            assert "token server" in coldmail.events("connect_failed")[0]["why"]
            assert coldmail.stop() == 0
            assert "GET" not in tokens.forms and len(tokens.forms) <= 2
            assert smtp.mails() == []
            oracle.check(coldmail, smtp.mails())


def test_with_time_that_jumps_it_goes_on_when_the_token_server_is_back(tmp_path):
    with FakeToken((500, b"", {}), (500, b"", {}), token("access-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.fast_forward()
            assert len(smtp.mails()) == 3 and len(tokens.forms) == 3


def test_time_that_jumps_is_for_token_servers_on_this_machine_too(tmp_path):
    far = "https://tokens.example/t"
    with FakeToken(token("access-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            conf = coldmail.conf.read_text()
            coldmail.conf.write_text(conf.replace(tokens.url, far))
            coldmail.spawn("--until-idle", "--fast-forward")
            assert coldmail.wait() == 64 and tokens.forms == []
            assert f"refused: {far} is not a server on loopback" in coldmail.tail()


def test_a_token_that_the_mail_server_refuses_is_not_used_again(tmp_path):
    with FakeToken(token("revoked"), token("access-1")) as tokens:
        smtp, coldmail = world(tmp_path, tokens)
        with smtp, coldmail:
            coldmail.fast_forward()
            assert len(smtp.mails()) == 3 and len(tokens.forms) == 2


def why_not(folder, smtp, tokens, **keys):
    """What the first fault of a mailbox is explained with."""
    with Coldmail(folder, oauth_mailbox(folder, smtp, tokens, **keys), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        wait_until(lambda: coldmail.events("mailbox_fault"), what="a fault")
        assert coldmail.stop() == 0
        return coldmail.events("mailbox_fault")[0]["why"]


@pytest.mark.parametrize("cert, remedy", [
    ("wrong_name", "expected a certificate for 'localhost', the name in token_url"),
    ("expired", "'localhost' needs a new certificate"),
])
def test_the_token_servers_certificate_is_not_blamed_on_the_mail_server(
        tmp_path, fake, certs, cert, remedy):
    smtp = fake(*wants("access-1"))
    with FakeToken(token("access-1"), cert=getattr(certs, cert)) as tokens:
        why = why_not(tmp_path, smtp, tokens, more=f'ca_file = "{certs.ca}"')
    assert "token server" in why and remedy in why
    assert "smtp =" not in why and "127.0.0.1" not in why


def test_a_token_that_is_refused_with_535_is_no_matter_of_passwords(tmp_path, fake):
    refused = "535 5.7.3 Authentication unsuccessful [BN6PR0.namprd.prod.outlook.com]"
    smtp = fake(*wants("access-1"), rules=[f"on auth do reply {refused}"])
    with FakeToken(token("access-1")) as tokens:
        why = why_not(tmp_path, smtp, tokens)
    assert "5.7.3 Authentication unsuccessful" in why and "does not take this token" in why
    assert "password" not in why


def test_no_secret_is_said(tmp_path):
    access = "access-0042-secret"
    with FakeToken(token(access, refresh_token="rotated-0043-secret")) as tokens:
        smtp, coldmail = world(tmp_path, tokens, access=(access,))
        with smtp, coldmail:
            coldmail.start()
            coldmail.wait_sent(3)
            said = json.dumps([coldmail.status(), coldmail.ctl("why"), coldmail.ctl("sends")])
            said += open(f"/proc/{coldmail.process.pid}/cmdline").read()
            assert coldmail.stop() == 0
            said += coldmail.log.read_text()
            stored = b"".join(
                f.read_bytes() for f in tmp_path.glob("store.db*") if f.is_file()
            ).decode("latin-1")
            for hidden in (REFRESH, SECRET, access, "rotated-0043-secret"):
                assert hidden not in said and hidden not in stored


def no_trace(folder, coldmail, *secrets):
    """Nowhere, neither as they are nor in the base64 of anything."""
    said = json.dumps([coldmail.ctl("why"), coldmail.ctl("why", ALI), coldmail.ctl("mailboxes")])
    assert coldmail.stop() == 0
    said += coldmail.log.read_text()
    said += "".join(f.read_bytes().decode("latin-1") for f in folder.glob("store.db*"))
    assert "***" in said
    for hidden in secrets:
        assert hidden not in said and urllib.parse.quote(hidden, safe="") not in said
        for shift in range(3):
            coded = base64.b64encode(b"x" * shift + hidden.encode()).decode()
            assert coded[4:-4] not in said


@pytest.mark.parametrize("echo", [
    lambda form: refusal("invalid_grant", error_description=f"{form['refresh_token']} is bad"),
    lambda form: refusal(f"no {form['client_secret']}"),
    lambda form: refusal("invalid_grant", error_description=urllib.parse.urlencode(form)),
    lambda form: refusal("invalid_grant", error_description="x" * 190 + form["refresh_token"]),
], ids=["refresh", "client", "form", "cut"])
def test_a_token_server_that_repeats_secrets(tmp_path, echo):
    refresh = REFRESH + "/+x"
    with FakeToken(echo) as tokens, FakeSmtp(tmp_path / "smtp") as smtp:
        section = oauth_mailbox(tmp_path, smtp, tokens, refresh)
        with Coldmail(tmp_path, "log { level = debug }\n", section, campaign()) as coldmail:
            coldmail.import_leads(addresses(1))
            coldmail.start()
            wait_until(lambda: coldmail.events("mailbox_fault"), what="a refusal")
            no_trace(tmp_path, coldmail, refresh, refresh[:12], SECRET)


def as_json(coded, decoded):
    why = json.dumps({"status": "400", "schemes": "bearer", "token": decoded})
    return "334 " + base64.b64encode(why.encode()).decode()


@pytest.mark.parametrize("words", [
    as_json, lambda coded, decoded: as_json(coded, coded), lambda coded, decoded: f"535 no {decoded}",
    lambda coded, decoded: f"334 {coded}",
], ids=["json", "json-coded", "decoded", "coded"])
def test_a_mail_server_that_repeats_the_access_token(tmp_path, words):
    access = "ya29.access-4713-" + "secret" * 8
    with FakeToken(token(access)) as tokens, EchoSmtp(words) as server:
        section = oauth_mailbox(tmp_path, server, tokens)
        with Coldmail(tmp_path, "log { level = debug }\n", section, campaign()) as coldmail:
            coldmail.import_leads(addresses(1))
            coldmail.start()
            wait_until(lambda: coldmail.events("mailbox_fault"), what="a refusal")
            assert server.said
            no_trace(tmp_path, coldmail, access)


def test_what_is_missing_is_named_with_its_line(tmp_path):
    section = mailbox(ALI, 2525).removesuffix("}\n") + (
        '\n\toauth { token_url = "http://tokens.example/" }\n}\n'
    )
    coldmail = Coldmail(tmp_path, section, campaign())
    coldmail.spawn("--check")
    assert coldmail.wait() == 78
    for what in (
        "oauth without a user",
        "has no 'client_id'",
        "has no 'refresh_token_file'",
        "expected https://HOST/PATH",
    ):
        assert what in coldmail.tail(), what
