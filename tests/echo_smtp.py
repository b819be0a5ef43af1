"""An SMTP server that repeats what it was told at a login, as some do who want to be helpful: in its
answer to AUTH, or to a later command. WORDS(line, decoded) makes that text of the line with the
credentials and of what is in its base64."""
import base64
import contextlib
import socket
import threading


class EchoSmtp:
    def __init__(self, words, at="auth", mechanisms="PLAIN XOAUTH2"):
        self.words, self.at, self.mechanisms = words, at, mechanisms
        self.said = []  # the texts
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *what):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(10)

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), peer, peer.makefile("rb") as lines:
                peer.settimeout(10)
                self.serve(peer, lines)

    def serve(self, peer, lines):
        def say(text):
            peer.sendall(text.encode() + b"\r\n")

        say("220 echo")
        text = ""
        for line in lines:
            verb = line[:4].upper().decode()
            if verb == "EHLO":
                say(f"250-echo\r\n250 AUTH {self.mechanisms}")
            elif verb == "AUTH":
                if len(line.split()) < 3:
                    say("334 ")
                    line = lines.readline()
                coded = line.split()[-1].decode()
                decoded = base64.b64decode(coded).decode("latin-1")
                text = self.words(coded, decoded.replace("\0", " ").replace("\1", " "))
                self.said.append(text)
                if self.at == "auth":
                    say(text)
                    if text.startswith("334"):
                        lines.readline()
                        say("535 5.7.8 no")
                else:
                    say("235 2.7.0 welcome")
            elif verb == self.at.upper():
                say(text)
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")
