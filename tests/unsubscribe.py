"""The unsubscribe page from outside: its configuration, the tokens (made here a second time, from what
interfaces.md says of them), and a client."""
import base64
import hashlib
import hmac
import http.client

from daemon import ALI, Coldmail, campaign, mailbox
from support import free_port

ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
URL = "https://mail.example.com/u"


def sections(port):
    return (
        f'http {{ public_listen = "127.0.0.1:{port}" }}\n'
        f'identity {{ unsubscribe_url = "{URL}" }}\n'
    )


def _key(coldmail, name):
    return coldmail.rows("SELECT value FROM meta WHERE name = ?", name)[0][0]


def person_of(coldmail, address):
    digest = hmac.new(_key(coldmail, "person_secret"), address.encode(), hashlib.sha256).digest()
    return digest[:16]


def token_of(coldmail, address):
    person = person_of(coldmail, address)
    text = b"unsubscribe\n" + person.hex().encode()
    seal = hmac.new(_key(coldmail, "message_secret"), text, hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(person + seal).decode().rstrip("=")


class Page:
    """Each request on a connection of its own, as the page wants it."""

    def __init__(self, port):
        self.port = port

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)

    def ask(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer, answer.read().decode()
        finally:
            connection.close()

    def get(self, token):
        return self.ask("GET", f"/u/{token}")

    def post(self, token, body=ONE_CLICK, headers=None):
        return self.ask("POST", f"/u/{token}", body, headers or FORM)


def with_page(folder, server, **keys):
    """A Coldmail with a page, and two steps two hours apart."""
    port = free_port()
    coldmail = Coldmail(
        folder,
        mailbox(ALI, server.port),
        campaign(steps=("intro", "nudge"), after="2h"),
        sections(port),
        **keys,
    )
    coldmail.page = Page(port)
    return coldmail
