"""Driving mail/smtp.c alone, through build/bench-smtp_client (tests/bench/smtp_client.c)."""
import collections
import subprocess
import time

from support import BUILD

# One verdict, of a mail or of a connection's end.
Event = collections.namedtuple("Event", "what outcome stage code enhanced err queue_id text")


class Client:
    """One finished run of the client: its events, and the counts of its last line."""

    def __init__(self, url, *options, seconds=20):
        started = time.monotonic()
        done = subprocess.run([BUILD / "bench-smtp_client", "--outcomes", *map(str, options), url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
                              text=True, errors="surrogateescape", stdin=subprocess.DEVNULL)
        self.seconds = time.monotonic() - started
        *lines, last = done.stdout.splitlines() or [""]
        assert last.startswith("mails "), (done.returncode, done.stdout, done.stderr)
        assert done.stderr == ""
        words = last.split()
        self.counts = dict(zip(words[::2], map(float, words[1::2])))
        self.events = [self.event(line) for line in lines]
        self.mails = [e for e in self.events if e.what == "mail"]
        self.ends = [e for e in self.events if e.what == "end"]

    @staticmethod
    def event(line):
        fields = line.split("\t")
        fields[3] = int(fields[3])
        return Event(*fields)

    @property
    def mail(self):
        assert len(self.mails) == 1, self.events
        return self.mails[0]

    @property
    def end(self):
        assert len(self.ends) == 1, self.events
        return self.ends[0]

    @property
    def fates(self):
        return [e.outcome for e in self.mails]
