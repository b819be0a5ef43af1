"""The link in a mail: what it looks like, who may follow it and how, and that "done" is said only when it
is. The page is spoken to as mail programs, browsers, proxies and less friendly clients do."""
import email
import email.policy
import os
import re
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

import oracle
from daemon import ALI, BEA, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import free_port, wait_until
from unsubscribe import FORM, ONE_CLICK, Page, URL, sections, token_of, with_page

TOO_LATE = "on its way already"


@pytest.fixture(name="coldmail")
def make_coldmail(tmp_path, server):
    """It runs, and has nothing to do yet."""
    with with_page(tmp_path, server) as coldmail:
        coldmail.start()
        yield coldmail


def write_to(coldmail, *people):
    coldmail.import_leads(people)
    coldmail.wait_sent(len(people))


def suppressions(coldmail):
    return [tuple(r) for r in coldmail.rows("SELECT reason, source FROM do_not_contact")]


def tables(coldmail):
    """Everything that the store holds, but for the last ping."""
    names = ("leads", "emails", "attempts", "do_not_contact", "controls")
    return {name: [tuple(r) for r in coldmail.rows(f"SELECT * FROM {name}")] for name in names}


# ---- the mail -------------------------------------------------------------------------------------


def test_a_mail_carries_the_link_in_its_header_and_in_its_text(coldmail, server):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    [mail] = server.mails()
    message = email.message_from_bytes(server.data(mail), policy=email.policy.default)
    assert message["List-Unsubscribe-Post"] == ONE_CLICK
    links = re.findall("<([^>]*)>", re.sub(r"\s", "", message["List-Unsubscribe"]))
    assert links == [f"{URL}/{token}", f"mailto:{ALI}?subject=unsubscribe%20{token}"]
    assert f"{URL}/{token}" in message.get_content().splitlines()
    preview = coldmail.ctl("preview", "founders", "--lead", "ada@take.example")
    assert f"{URL}/{token}" in str(preview)


def test_without_a_url_a_mail_promises_none(tmp_path, server):
    with Coldmail(tmp_path, mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        assert coldmail.run_until_idle()[0] == 0
        [mail] = server.mails()
        assert b"List-Unsubscribe" not in server.data(mail)


# ---- what it does -----------------------------------------------------------------------------------


def test_case_67_looking_at_the_page_changes_nothing(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    before = tables(coldmail)
    for method in ("GET", "HEAD", "GET"):
        answer, text = coldmail.page.ask(method, f"/u/{token}")
        assert answer.status == 200
    assert "<form" in text and "Example Labs" in text and "ada@" not in text
    for path in (f"/u/{token}?List-Unsubscribe=One-Click", f"/u/{token}?confirm=1"):
        assert coldmail.page.ask("GET", path)[0].status == 200
    assert tables(coldmail) == before


MULTIPART = (
    '--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
)


@pytest.mark.parametrize(
    "body, headers",
    [
        (ONE_CLICK, FORM),
        (ONE_CLICK, {}),
        (MULTIPART, {"Content-Type": "multipart/form-data; boundary=b"}),
    ],
    ids=["urlencoded", "no type", "multipart"],
)
def test_one_click_opts_out(body, headers, coldmail, server):
    write_to(coldmail, "ada@take.example", "bob@take.example")
    token = token_of(coldmail, "ada@take.example")
    answer, text = coldmail.page.ask("POST", f"/u/{token}", body, headers)
    assert answer.status == 200 and "will not write to you again" in text
    lead = coldmail.lead("ada@take.example")
    assert (lead["state"], lead["reason"], lead["status"]) == ("ended", "opted_out", "unsubscribed")
    assert suppressions(coldmail) == [("opted_out", "one-click")]
    assert coldmail.page.post(token)[0].status == 200  # a second time is no mistake
    [event] = coldmail.events("opt_out")
    assert event["lead"] == lead["_id"]
    [entry] = coldmail.ctl("suppress", "check", "Ada@Take.Example")["by"]
    assert entry["pattern"].startswith("person:")
    coldmail.import_leads(["ada@take.example"])
    assert coldmail.stop() == 0
    coldmail.fast_forward()
    assert [m.to for m in server.mails()].count(["ada@take.example"]) == 1
    assert [m.to for m in server.mails()].count(["bob@take.example"]) == 2
    oracle.check(coldmail, server.mails())


def test_the_button_does_what_the_page_says(coldmail):
    """The form is sent as a browser would: what it says, to where it is."""
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    _, text = coldmail.page.get(token)
    assert re.search('<form method="post">', text)  # to the page's own address, whatever a proxy made of it
    fields = re.findall('<input type="hidden" name="([^"]*)" value="([^"]*)">', text)
    answer, text = coldmail.page.post(token, urllib.parse.urlencode(fields))
    assert answer.status == 200 and "Done" in text
    assert suppressions(coldmail) == [("opted_out", "page")]


def test_a_post_that_does_not_say_the_words_is_asked_to(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    for body in ("", "List-Unsubscribe=", "One-Click", "x" * 9000):
        answer, text = coldmail.page.post(token, body)
        assert answer.status == 400 and "<form" in text
    assert not suppressions(coldmail)


def test_a_lead_that_is_through_opts_out_all_the_same(tmp_path, server):
    port = free_port()
    with Coldmail(tmp_path, mailbox(ALI, server.port), campaign(), sections(port)) as coldmail:
        coldmail.start()
        coldmail.import_leads(["ada@take.example"])
        coldmail.wait_for("SELECT count(*) FROM leads WHERE reason = 'completed'", 1)
        assert Page(port).post(token_of(coldmail, "ada@take.example"))[0].status == 200
        assert coldmail.lead("ada@take.example")["status"] == "unsubscribed"


def test_case_47_who_answered_and_then_follows_the_link_is_heard(coldmail, server):
    """An answer ends the lead, and opts nobody out; what is said after it still does."""
    write_to(coldmail, "ada@take.example")
    coldmail.ctl("leads", "stop", "ada@take.example", "--because", "replied")
    assert not suppressions(coldmail)
    assert coldmail.page.post(token_of(coldmail, "ada@take.example"))[0].status == 200
    lead = coldmail.lead("ada@take.example")
    assert (lead["reason"], lead["status"]) == ("opted_out", "unsubscribed")
    assert suppressions(coldmail) == [("opted_out", "one-click")]
    assert coldmail.stop() == 0
    oracle.check(coldmail, server.mails())


def test_who_was_told_that_it_came_too_late_gets_that_one_mail(tmp_path):
    port = free_port()
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do delay 800"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(), sections(port)
    ) as coldmail:
        coldmail.import_leads(["ada@take.example"])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        answer, text = Page(port).post(token_of(coldmail, "ada@take.example"))
        assert answer.status == 200 and TOO_LATE in text
        coldmail.wait_sent(1)
        assert coldmail.stop() == 0
        assert coldmail.lead("ada@take.example")["status"] == "unsubscribed"
        oracle.check(coldmail, server.mails())


# ---- the race ---------------------------------------------------------------------------------------

ROUNDS = 3000


class Clicker(threading.Thread):
    """Follows links: of those whose mails are under way now, else of the next in line."""

    def __init__(self, coldmail, page, tokens, over):
        super().__init__()
        self.coldmail, self.page, self.over = coldmail, page, over
        self.tokens, self.acknowledged, self.failure = tokens, [], None

    def targets(self, db):
        under_way = [
            r[0] for r in db.execute("SELECT to_email FROM attempts WHERE state = 'reserved'")
        ]
        return [a for a in under_way if a in self.tokens][:4] or sorted(self.tokens)[:1]

    def run(self):
        try:
            with self.coldmail.database() as db:
                while self.tokens and not self.over.is_set():
                    for address in self.targets(db):
                        answer, text = self.page.post(self.tokens.pop(address))
                        assert answer.status == 200, text
                        self.acknowledged.append((address, time.time() * 1000, TOO_LATE in text))
        except BaseException as failure:
            self.failure = failure


def taken_of(coldmail, address):
    return [
        r[0]
        for r in coldmail.rows(
            "SELECT a._id FROM attempts a JOIN attempts s ON s._id = a._id || '!'"
            " WHERE a.to_email = ? AND s.state = 'transmitting'",
            address,
        )
    ]


def test_case_48_no_mail_follows_an_acknowledged_click(tmp_path):
    """Thousands of clicks in the middle of sending."""
    people, port, over = addresses(ROUNDS), free_port(), threading.Event()
    rules = ["on rcpt every 3 do delay 2", "on dot every 2 do delay 3"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server:
        boxes = [mailbox(a, server.port, connections=2) for a in (ALI, BEA)]
        with Coldmail(
            tmp_path,
            *boxes,
            campaign(mailboxes=(ALI, BEA), steps=("intro", "nudge")),
            sections(port),
        ) as coldmail:
            coldmail.import_leads(people)
            tokens = {a: token_of(coldmail, a) for a in people}
            coldmail.start()
            clickers = [
                Clicker(coldmail, Page(port), {a: tokens[a] for a in people[i::2]}, over)
                for i in range(2)
            ]
            for clicker in clickers:
                clicker.start()
            for clicker in clickers:
                clicker.join(90)
            over.set()
            assert [c.failure for c in clickers] == [None, None]
            assert not any(c.is_alive() for c in clickers)
            coldmail.wait_for("SELECT count(*) FROM leads WHERE state <> 'ended'", 0)
            assert coldmail.stop() == 0
        acknowledged = [
            oracle.OptOut(address, ms, taken_of(coldmail, address) if too_late else [])
            for c in clickers
            for address, ms, too_late in c.acknowledged
        ]
        assert len(acknowledged) == ROUNDS
        oracle.check(coldmail, server.mails(), acknowledged)
        # The race was one: some came too late, some in time to stop a mail under way.
        assert sum(bool(o.taken) for o in acknowledged) >= 20
        assert sum(e["stopped"] for e in coldmail.events("opt_out")) >= 20


# ---- never a false "done" ----------------------------------------------------------------------------


def test_a_store_that_is_down_is_said_and_nothing_is_done(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    with coldmail.database(write=True) as db:  # somebody else holds the file
        db.execute("BEGIN IMMEDIATE")
        answer, text = coldmail.page.post(token)
        db.rollback()
    assert answer.status == 503 and answer.getheader("Retry-After") and "nothing" in text
    assert not suppressions(coldmail)
    assert not coldmail.events("opt_out")

    def is_done():
        return coldmail.page.post(token)[0].status == 200

    wait_until(is_done, what="an opt-out when the store is back")
    assert suppressions(coldmail)


def accepts(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_before_the_store_has_opened_the_page_says_so(tmp_path):
    port = free_port()
    with Coldmail(tmp_path, sections(port)) as coldmail:
        coldmail.store = tmp_path / "missing" / "store.db"
        coldmail.configure(sections(port))
        coldmail.spawn()
        wait_until(lambda: accepts(port), what="the page")
        for method in ("GET", "POST"):
            answer, _ = Page(port).ask(method, "/u/" + "A" * 43, ONE_CLICK, FORM)
            assert answer.status == 503 and answer.getheader("Retry-After")


def test_a_page_that_cannot_listen_is_a_daemon_that_does_not_start(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        coldmail = Coldmail(tmp_path, sections(taken.getsockname()[1]))
        coldmail.spawn()
        assert coldmail.wait() == 75
        assert "public_listen" in coldmail.tail() and "in use" in coldmail.tail()


# ---- what else is asked of it ------------------------------------------------------------------------


def test_nothing_else_is_served(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    wrong = ("A" if token[-1] != "A" else "B") + token[1:]
    paths = ["/", "/u", "/u/", "/v1/status", "/healthz", "/metrics", "/u/../v1/status", "/u/%00"]
    for path in paths + [f"/u/{t}" for t in (wrong, token[:-1], token + "A", token + "/", "é", "%2e")]:
        for method in ("GET", "POST"):
            answer, text = coldmail.page.ask(method, urllib.parse.quote(path, "/%"), ONE_CLICK, FORM)
            assert answer.status == 404, (method, path)
            assert "<form" not in text
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "FOO", "CONNECT"):
        answer, _ = coldmail.page.ask(method, f"/u/{token}")
        assert answer.status == 405 and "POST" in answer.getheader("Allow")
    assert not suppressions(coldmail)


def test_answers_carry_what_keeps_them_private(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    for answer, _ in (coldmail.page.get(token), coldmail.page.get("x"), coldmail.page.post(token)):
        assert answer.getheader("Cache-Control") == "no-store"
        assert answer.getheader("Referrer-Policy") == "no-referrer"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
        assert "default-src 'none'" in answer.getheader("Content-Security-Policy")
        assert "noindex" in answer.getheader("X-Robots-Tag")
        assert answer.getheader("Connection") == "close"
    assert token not in coldmail.log.read_text()


def test_a_name_is_text_and_not_html(tmp_path):
    port = free_port()
    name = 'identity { organisation = "<b>A & \\"B\\"</b>" }\n'
    with Coldmail(tmp_path) as coldmail:
        coldmail.conf.write_text(
            coldmail.conf.read_text().replace('organisation = "Example Labs"', "")
            + sections(port)
            + name
        )
        coldmail.start()
        _, text = Page(port).get(token_of(coldmail, "ada@take.example"))
        assert "&lt;b&gt;A &amp; &quot;B&quot;&lt;/b&gt;" in text and "<b>" not in text


def raw(port, data, seconds=30):
    """What is answered to these bytes, until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as s:
        try:
            s.sendall(data)
        except OSError:
            pass  # it had enough
        answer = b""
        try:
            while block := s.recv(65536):
                answer += block
        except ConnectionError:
            pass
        return answer


def test_what_is_too_large_is_cut_off(coldmail):
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    port = coldmail.page.port
    head = f"POST /u/{token} HTTP/1.1\r\nHost: x\r\n".encode()
    raw(port, head + b"X: " + b"a" * (1 << 20) + b"\r\n\r\n")
    raw(port, b"GET /u/" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n")
    raw(port, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100000 + b"\r\n")
    raw(port, b"\x16\x03\x01\x02\x00\x01" + os.urandom(500) + b"\r\n\r\n")
    body = ONE_CLICK.encode() + b"&" + b"a" * (1 << 20)
    answer = raw(port, head + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    assert answer.startswith(b"HTTP/1.1 413")
    assert not suppressions(coldmail)
    assert coldmail.page.get(token)[0].status == 200 and coldmail.is_running()


def test_clients_that_trickle_do_not_keep_others_out(coldmail):
    """More connections than the page takes, each sending a byte now and then: all are closed in the end,
    though none is ever idle, and whoever waited gets in."""
    write_to(coldmail, "ada@take.example")
    token = token_of(coldmail, "ada@take.example")
    slow = [socket.create_connection(("127.0.0.1", coldmail.page.port)) for _ in range(300)]
    over = threading.Event()

    def trickle():
        for s in slow:
            s.sendall(b"GET /u/x HTTP/1.1\r\nX: ")
        while not over.wait(0.5):
            for s in slow:
                try:
                    s.send(b"a")
                except OSError:
                    pass

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        answer, _ = coldmail.page.post(token)
        assert answer.status == 200
        assert coldmail.control().call("version")
    finally:
        over.set()
        thread.join(10)
        for s in slow:
            s.close()


def test_a_client_that_goes_away_has_opted_out(coldmail):
    write_to(coldmail, *addresses(20))
    for address in addresses(20):
        token = token_of(coldmail, address)
        with socket.create_connection(("127.0.0.1", coldmail.page.port)) as s:
            s.sendall(
                f"POST /u/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(ONE_CLICK)}\r\n\r\n"
                f"{ONE_CLICK}".encode()
            )
    coldmail.wait_for("SELECT count(*) FROM do_not_contact", 20)
    assert coldmail.stop() == 0


def test_requests_that_wait_when_the_daemon_stops_are_answered(coldmail):
    write_to(coldmail, "ada@take.example")
    token, answers = token_of(coldmail, "ada@take.example"), []
    with coldmail.database(write=True) as db:
        db.execute("BEGIN IMMEDIATE")
        threads = [
            threading.Thread(target=lambda: answers.append(coldmail.page.post(token)[0].status))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        db.rollback()
        assert coldmail.stop() == 0
    for thread in threads:
        thread.join(30)
    assert len(answers) == 8 and set(answers) <= {200, 503}
    assert 200 not in answers or suppressions(coldmail)


def test_curl_as_mail_providers_do(coldmail):
    write_to(coldmail, "ada@take.example")
    url = f"http://127.0.0.1:{coldmail.page.port}/u/{token_of(coldmail, 'ada@take.example')}"

    def curl(*arguments):
        return subprocess.run(
            ["curl", "--noproxy", "*", "-sS", "-m", "20", *arguments, url],
            stdout=subprocess.PIPE, text=True, check=True).stdout

    assert "Content-Length" in curl("-I")
    assert "<form" in curl()
    assert "<form" in curl("--http1.0")
    assert not suppressions(coldmail)
    assert "Done" in curl("-H", "Expect: 100-continue", "-d", ONE_CLICK)
    assert "Done" in curl("-F", "List-Unsubscribe=One-Click")
    assert "Done" in curl("-H", "Transfer-Encoding: chunked", "-d", ONE_CLICK)
