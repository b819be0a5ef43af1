"""Web servers in front of the unsubscribe page, with what docs/unsubscribe.md says to write for them:
the page comes through, nothing else does, and no log of theirs has a link."""
import http.client
import os
import re
import socket
import ssl

import pytest

from peers import Peer, program
from support import REPOSITORY, free_port
from unsubscribe import Page, token_of, with_page

HOST, PAGE, ADA = "mail.example.com", "127.0.0.1:8081", "ada@take.example"


def documented(kind, page):
    """The snippet of docs/unsubscribe.md, for a page on another port."""
    text = (REPOSITORY / "docs/unsubscribe.md").read_text()
    (snippet,) = re.findall(f"```{kind}\n(.*?)```", text, re.DOTALL)
    assert PAGE in snippet
    return snippet.replace(PAGE, f"127.0.0.1:{page}")


class Nginx(Peer):
    CONF = """
        daemon off; master_process off; pid {folder}/pid;
        events {{ worker_connections 64; }}
        http {{
            access_log {folder}/access;
            client_body_temp_path {folder}/body;
            proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/fastcgi;
            uwsgi_temp_path {folder}/uwsgi;
            scgi_temp_path {folder}/scgi;
            server {{
                listen 127.0.0.1:{port};
                {snippet}
            }}
        }}
    """

    def __init__(self, folder, page):
        super().__init__(folder)
        conf = folder / "nginx.conf"
        conf.write_text(self.CONF.format(
            folder=folder, port=self.port, snippet=documented("nginx", page)))
        self.run(program("nginx", "nginx-light"), "-p", folder, "-e", self.log, "-c", conf)
        self.page = Page(self.port)


class Caddy(Peer):
    """With a CA of its own, on the loopback, asking nobody for anything, and with a log of all else."""

    HERE = """
        admin off
        local_certs
        skip_install_trust
        ocsp_stapling off
        auto_https disable_redirects
        default_bind 127.0.0.1
        https_port {port}
        http_port {other}
        storage file_system {folder}/data
        servers {{
            protocols h1 h2
        }}
    """

    def __init__(self, folder, page):
        super().__init__(folder)
        here = self.HERE.format(folder=folder, port=self.port, other=free_port())
        conf, snippet = folder / "Caddyfile", documented("caddy", page)
        assert snippet.startswith("{\n") and f"\n{HOST} {{\n" in snippet
        conf.write_text("{\n" + here + snippet[2:].replace(
            f"{HOST} {{\n", f"{HOST} {{\n\tlog {{\n\t\toutput file {folder}/access\n\t}}\n"))
        self.run(program("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", conf,
                 env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data"),
                      "XDG_CONFIG_HOME": str(folder / "config")})
        self.page = TlsPage(self.port, folder / "data/pki/authorities/local/root.crt")


class TlsPage(Page):
    def __init__(self, port, ca):
        super().__init__(port)
        self.context = ssl.create_default_context(cafile=ca)

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), 30)
        connection = http.client.HTTPSConnection(HOST, timeout=30)
        connection.sock = self.context.wrap_socket(plain, server_hostname=HOST)
        return connection


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("server_of", [Caddy, Nginx])
def test_a_proxy_as_documented(server_of, tmp_path, server):
    with with_page(tmp_path / "run", server) as coldmail:
        coldmail.start()
        coldmail.import_leads([ADA])
        coldmail.wait_sent(1)
        suppressions = "SELECT reason, source FROM do_not_contact"
        with server_of(tmp_path / "proxy", coldmail.page.port) as proxy:
            page, token = proxy.page, token_of(coldmail, ADA)
            answer, text = page.get(token)
            assert answer.status == 200 and "<form" in text
            assert page.ask("GET", "/")[0].status == 404
            assert page.ask("POST", "/v1/status")[0].status == 404
            assert page.post(token, "x" * (1 << 20))[0].status >= 400
            assert not coldmail.rows(suppressions)
            answer, text = page.post(token)
            assert answer.status == 200 and "Done" in text
            assert [tuple(r) for r in coldmail.rows(suppressions)] == [("opted_out", "one-click")]
            assert coldmail.stop() == 0
            link = {"Referer": f"https://{HOST}/u/{token}"}
            assert page.ask("GET", f"/u/{token}", headers=link)[0].status == 502
    logs = files(tmp_path / "proxy")
    assert b"/v1/status" in logs[tmp_path / "proxy/access"]
    assert [path for path, text in logs.items() if token.encode() in text] == []
