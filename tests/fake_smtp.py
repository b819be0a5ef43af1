"""Driving build/fake-smtp (tests/fake/smtp): start it, give it rules, read what it accepted."""
import collections
import signal
import subprocess
import urllib.parse

import pytest

from support import BUILD, wait_until

# One accepted mail, as --list has it, decoded; what is missing is "-". `to` is a list, and
# `to_parameters` has what RCPT said behind each address.
Mail = collections.namedtuple(
    "Mail", "number ms sender to message_id sha256 file user tls parameters to_parameters",
    defaults=("-", "-", "-", "-", ["-"]))


def parse_mail(line):
    unquote = urllib.parse.unquote
    number, ms, *fields = line.split("\t")
    mail = Mail(int(number), int(ms), *fields)
    return mail._replace(
        to=[unquote(a) for a in mail.to.split(",")],
        to_parameters=[unquote(a) for a in mail.to_parameters.split(",")],
        **{name: unquote(getattr(mail, name))
           for name in ("sender", "message_id", "user", "parameters")})


class FakeSmtp:
    """A running server with all its files in FOLDER; `with` ends it and checks that it ended well.

    A server started again on the same folder gets the same port and goes on with the same list.
    """

    def __init__(self, folder, *options, rules=()):
        program = BUILD / "fake-smtp"
        if not program.exists():
            pytest.fail(f"missing: {program} (make {program})", pytrace=False)
        folder.mkdir(parents=True, exist_ok=True)
        self.script, self.list = folder / "rules", folder / "accepted"
        self.maildir, self.out, self.err = folder / "maildir", folder / "out", folder / "err"
        port_file = folder / "port"
        port = int(port_file.read_text()) if port_file.exists() else 0
        self._write_rules(rules)
        self.out.write_text("")
        with open(self.out, "ab") as out, open(self.err, "ab") as err:
            self.process = subprocess.Popen(
                [program, "--listen", f"127.0.0.1:{port}", "--port-file", port_file,
                 "--list", self.list, "--maildir", self.maildir, "--script", self.script, *options],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        wait_until(lambda: self.out.read_text() or self.process.poll() is not None,
                   what="fake-smtp listening")
        assert self.process.poll() is None, self.err.read_text()
        self.port = int(port_file.read_text())

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stop()

    def _write_rules(self, rules):
        self.script.write_text("".join(f"{rule}\n" for rule in rules))

    def _ask(self, number):
        """Sends a signal; returns the line that the server prints for it."""
        before = self.out.read_text()
        self.process.send_signal(number)
        return wait_until(lambda: self.out.read_text()[len(before):].rpartition("\n")[0],
                          what="an answer to a signal")

    def set_rules(self, *rules):
        """Other rules from now on, their counts at zero."""
        self._write_rules(rules)
        assert self._ask(signal.SIGHUP) == f"rules {len(rules)}"

    def summary(self):
        """{"accepted": …, "refused": …, "connections": …}"""
        words = self._ask(signal.SIGUSR1).split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def mails(self):
        if not self.list.exists():
            return []
        whole, _, _ = self.list.read_text().rpartition("\n")  # a line may be half written yet
        return [parse_mail(line) for line in whole.splitlines()]

    def data(self, mail):
        """The bytes of a mail, as they were between DATA and the dot."""
        return (self.maildir / "new" / mail.file).read_bytes()

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(10) == 0, self.err.read_text()
