"""A token server on loopback (RFC 6749): answers what the test queued, the last answer again and again.
An answer is (status, JSON or bytes, headers), or what makes one of the form that was sent; with CERT (certs.py) it speaks TLS."""
import contextlib
import http.server
import json
import ssl
import threading
import urllib.parse


def token(access, **more):
    return 200, {"access_token": access, "token_type": "Bearer", "expires_in": 3600, **more}, {}


def refusal(error, status=400, **more):
    return status, {"error": error, **more}, {}


class FakeToken:
    def __init__(self, *answers, cert=None):
        self.answers = list(answers)
        self.forms, self.agents = [], []  # what was asked, and by whom
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                owner.agents.append(self.headers.get("User-Agent"))
                owner.forms.append(dict(urllib.parse.parse_qsl(body)))
                self.answer()

            def do_GET(self):
                owner.forms.append("GET")
                self.answer()

            def answer(self):
                answer = owner.answers[0]
                if len(owner.answers) > 1:
                    owner.answers.pop(0)
                status, body, headers = answer(owner.forms[-1]) if callable(answer) else answer
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # who asked may have gone
                    self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme, host = "http", "127.0.0.1"
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(cert.cert, cert.key)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
            scheme, host = "https", "localhost"
        self.url = f"{scheme}://{host}:{self.server.server_port}/token"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *what):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)
