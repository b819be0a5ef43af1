"""Driving the real coldmail: write its configuration, import leads, start, stop and kill it, ask
its control socket, read its store. One Coldmail is one folder with everything in it."""
import contextlib
import csv
import http.client
import json
import pathlib
import signal
import socket
import sqlite3
import subprocess
import tempfile

import pytest

from support import BUILD, wait_until

ALI, BEA = "ali@send.example", "bea@send.example"
IDENTITY = """
identity {
    organisation = "Example Labs"
    postal_address = "1 Example Street, Springfield"
    opt_out_line = "Not relevant? Tell me and I will not write again."
}
"""
# A test of refusals refuses more than a list should.
UNGUARDED = "watch { bounce_warn = 100  bounce_pause = 100 }\n"
GUARDED = "watch { bounce_warn = 3  bounce_pause = 5 }\n"
# What goes out at any hour of any day.
ALWAYS = {"window": "00:00-24:00", "days": "{mon, tue, wed, thu, fri, sat, sun}"}
TEMPLATE = (
    "Subject: {step} for {{{{first_name|you}}}}\n\nHi {{{{first_name|there}}}}, this is {step}.\n"
)


def mailbox(address=ALI, port=0, **keys):
    """A mailbox section: no gap, limit or ramp that a test would meet by accident."""
    server = {"smtp": f'"smtp://127.0.0.1:{port}"', "tls": "none"}
    keys = {**server, "gap": "0s", "daily_limit": 1000000, "ramp": "{}", **keys}
    lines = "".join(f"\t{key} = {value}\n" for key, value in keys.items())
    return f'mailbox "{address}" {{\n{lines}}}\n'


def over_tls(url, ca_file):
    """Keys of a mailbox: a server whose certificate is of the tests' own making (certs.py)."""
    return {"smtp": f'"{url}"', "tls": "required", "ca_file": f'"{ca_file}"'}


def login(file, user, password):
    """Keys of a mailbox: who logs in, the password in FILE."""
    file.write_text(password + "\n")
    file.chmod(0o600)
    return {"user": f'"{user}"', "password_file": f'"{file}"'}


def campaign(name="founders", mailboxes=(ALI,), steps=("intro",), after="1ms", **keys):
    """A campaign section, open at any time. Later steps answer the first, but for one called "last"."""
    keys = {"start": "auto", "domain_daily_limit": 0, **ALWAYS, **keys}
    names = ", ".join(f'"{m}"' for m in mailboxes)
    lines = "".join(f"\t{key} = {value}\n" for key, value in keys.items())
    for i, step in enumerate(steps):
        thread = "same" if i and step != "last" else "new"
        wait = f"  after = {after}" if i else ""
        lines += f'\tstep "{step}" {{ template = "{step}.tmpl"{wait}  thread = {thread} }}\n'
    return f'campaign "{name}" {{\n\tmailboxes = {{{names}}}\n{lines}}}\n'


def replace(path, text):
    """All at once: a daemon may be reading it."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


class Control(http.client.HTTPConnection):
    """The control socket, spoken to directly: for what has to be quick or malformed."""

    def __init__(self, path, timeout=30):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def call(self, command, **arguments):
        """The answer as JSON; a refusal fails the test."""
        self.request(
            "POST", f"/v1/{command}", json.dumps(arguments), {"Content-Type": "application/json"}
        )
        response = self.getresponse()
        body = json.loads(response.read())
        assert response.status == 200, (command, response.status, body)
        return body


class Coldmail:
    def __init__(self, folder, *sections, test=False):
        programs = BUILD / "test" if test else BUILD
        self.program, self.ctl_program = programs / "coldmail", programs / "coldmailctl"
        for program in (self.program, self.ctl_program):
            if not program.exists():
                pytest.fail(f"missing: {program} (make {program})", pytrace=False)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.conf, self.log = folder, folder / "coldmail.conf", folder / "log"
        self.store = folder / "store.db"
        # The path of a socket may have 107 bytes, and pytest's folders are long.
        self._short = tempfile.TemporaryDirectory(prefix="coldmail-")
        self.socket = pathlib.Path(self._short.name) / "control"
        self.process = None
        for step in ("intro", "nudge", "last"):
            self.template(step)
        self.configure(*sections)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.kill()

    # ---- files ---------------------------------------------------------------------------------

    def configure(self, *sections):
        """Writes the configuration: these sections, and what every test here shares."""
        if not any(section.startswith("watch") for section in sections):
            sections += (UNGUARDED,)
        replace(
            self.conf,
            f'store = "sqlite:{self.store}"\n'
            f'control {{ socket = "{self.socket}" }}\n'
            f"log {{ format = json }}\n{IDENTITY}" + "".join(sections),
        )

    def template(self, step, text=None):
        text = text or TEMPLATE.format(step=step)
        if step == "nudge":  # it answers, and has no subject of its own
            text = text.partition("\n\n")[2]
        replace(self.folder / f"{step}.tmpl", text)

    def events(self, name):
        """The log lines of that name, of every start so far."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [
            e for e in map(json.loads, filter(lambda l: l[:1] == "{", lines)) if e["event"] == name
        ]

    @contextlib.contextmanager
    def database(self, write=False):
        mode = "rw" if write else "ro"
        db = sqlite3.connect(f"file:{self.store}?mode={mode}", uri=True, timeout=30)
        db.row_factory = sqlite3.Row
        try:
            yield db
            db.commit()
        finally:
            db.close()

    def rows(self, query, *values):
        with self.database() as db:
            return db.execute(query, values).fetchall()

    def count(self, query, *values):
        return self.rows(query, *values)[0][0]

    def lead(self, address):
        return self.rows("SELECT * FROM leads WHERE email = ?", address)[0]

    def states(self):
        """{(state, reason): how many leads}"""
        return {
            (r["state"], r["reason"]): r["n"]
            for r in self.rows(
                "SELECT state, coalesce(reason, '') AS reason, count(*) AS n FROM leads"
                " GROUP BY 1, 2"
            )
        }

    # ---- the daemon ----------------------------------------------------------------------------

    def spawn(self, *arguments, environment=None, **keys):
        """Starts it with its log in self.log; returns at once."""
        assert not self.is_running()
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "-c", self.conf, *arguments],
                stdin=subprocess.DEVNULL,
                **{"stdout": log, "stderr": log, "env": environment, **keys},
            )
        return self.process

    def start(self, *arguments, **keys):
        """Starts it and waits until its control socket answers and the ledger was recovered."""
        before = len(self.events("ready"))
        self.spawn(*arguments, **keys)
        wait_until(
            lambda: len(self.events("ready")) > before or not self.is_running(),
            what="the daemon's start",
        )
        assert self.is_running(), self.tail()
        return self.process

    def tail(self):
        return self.log.read_text()[-4000:]

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def wait(self, seconds=60):
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the daemon did not end in {seconds} s\n{self.tail()}")

    def stop(self, seconds=60):
        """SIGTERM; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self):
        if self.is_running():
            self.process.kill()
            self.process.wait(10)

    def run_until_idle(self, *arguments, seconds=60, **keys):
        """Works until nothing is due; returns (exit status, the summary)."""
        out = self.folder / "summary"
        with open(out, "wb") as summary:
            self.spawn("--until-idle", *arguments, stdout=summary, **keys)
            status = self.wait(seconds)
        assert status in (0, 75), self.tail()
        return status, out.read_text()

    def fast_forward(self, **keys):
        return self.run_until_idle("--fast-forward", **keys)

    # ---- coldmailctl ---------------------------------------------------------------------------

    def ctl(self, *arguments, status=0):
        """Runs a command with --json; its answer, or its whole result when STATUS is None."""
        done = subprocess.run(
            [self.ctl_program, "-c", self.conf, "--json", "--yes", *arguments],
            text=True,
            timeout=20,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        if status is None:
            return done
        assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def status(self):
        """Whatever its exit status: 1 says that something is wrong."""
        return json.loads(self.ctl("status", status=None).stdout)

    def control(self):
        return Control(self.socket)

    def import_leads(self, rows, name="founders", status=0, options=()):
        """ROWS: dicts, or addresses. The answer of `leads import`."""
        rows = [{"email": row} if isinstance(row, str) else row for row in rows]
        columns = list(dict.fromkeys(column for row in rows for column in row))
        file = self.folder / "leads.csv"
        with open(file, "w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, columns)
            writer.writeheader()
            writer.writerows(rows)
        return self.ctl("leads", "import", str(file), "--campaign", name, *options, status=status)

    def wait_for(self, query, value, seconds=20):
        """Until a count in the store is VALUE."""
        wait_until(lambda: self.count(query) == value, seconds, f"{query} = {value}")

    def wait_sent(self, n, seconds=20):
        self.wait_for("SELECT count(*) FROM attempts WHERE state = 'sent'", n, seconds)


def addresses(n, domain="take.example"):
    return [f"lead{i}@{domain}" for i in range(n)]
