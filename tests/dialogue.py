"""SMTP spoken byte by byte to a server under test, build/fake-smtp first of all."""
import socket
import ssl

EHLO = b"EHLO me.example\r\n"
FROM, TO = b"MAIL FROM:<me@send.example>\r\n", b"RCPT TO:<you@take.example>\r\n"
BODY = b"Message-ID: <one@send.example>\r\nSubject: Hello\r\n\r\nHello.\r\n"


class Client:
    """A raw dialogue, so that every byte and every silence can be seen. CONTEXT: over TLS."""

    def __init__(self, server, greet=True, context=None):
        self.socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self.got = b""
        if context:
            self.secure(context)
        if greet:
            self.expect(220)
            self.ask(EHLO, 250)

    def secure(self, context):
        assert not self.got, "more came in the clear"
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def send(self, data):
        self.socket.sendall(data)

    def reply(self):
        """The lines of one reply."""
        lines = []
        while not lines or lines[-1][3:4] == b"-":
            while b"\r\n" not in self.got:
                more = self.socket.recv(65536)
                assert more, f"closed after {self.got!r}"
                self.got += more
            line, self.got = self.got.split(b"\r\n", 1)
            lines.append(line)
        return lines

    def expect(self, code):
        lines = self.reply()
        assert int(lines[-1][:3]) == code, lines
        return lines

    def ask(self, data, code):
        self.send(data)
        return self.expect(code)

    def capabilities(self):
        """What EHLO offers."""
        return [line[4:].decode() for line in self.ask(EHLO, 250)[1:]]

    def nothing_comes(self, seconds=0.15):
        """True if the server keeps silent, with the connection open."""
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(1) is None
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)

    def rest(self):
        """All bytes up to the server's FIN."""
        while more := self.socket.recv(65536):
            self.got += more
        return self.got

    def ends_by_reset(self):
        """Reads up to the end: was it RST? Over TLS Python tells that only those who write."""
        try:
            self.rest()
            self.send(b"NOOP\r\n")
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            return True
        return False

    def go_to(self, verb):
        """The dialogue up to VERB, that one said too, its reply not read."""
        if verb == "connect":
            return self
        self.expect(220)
        if verb == "helo":
            self.send(b"HELO me.example\r\n")
            return self
        if verb != "ehlo":
            self.ask(EHLO, 250)
        way = [("mail", FROM, 250), ("rcpt", TO, 250), ("data", b"DATA\r\n", 354)]
        for name, line, code in way:
            if verb in ("ehlo", name) or verb not in ("rcpt", "data", "body", "dot"):
                break
            self.ask(line, code)
        last = {"ehlo": EHLO, "mail": FROM, "rcpt": TO, "data": b"DATA\r\n",
                "body": b"Subject: ", "dot": BODY + b".\r\n"}
        self.send(last.get(verb, verb.upper().encode() + b"\r\n"))
        return self

    def mail(self, code=250, sender=FROM, to=TO, body=BODY):
        self.ask(sender, 250)
        self.ask(to, 250)
        self.ask(b"DATA\r\n", 354)
        return self.ask(body + b".\r\n", code)
