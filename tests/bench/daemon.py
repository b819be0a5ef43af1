"""The running daemon against Postfix's smtp-source, into the same smtp-sink, in turn.

Prints, as medians of RUNS: mails a second of both and their ratio (the durable pipeline: claim,
draft, reserve, slot, dot, record, each durable); what a mail costs the daemon in CPU; wake-ups a
second of an idle daemon; resident memory with 100,000 leads. Called by daemon.sh. Loopback only.
"""
import csv
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("BUILD", "build")).resolve()
RUNS = int(os.environ.get("RUNS", "3"))
MAILS = int(os.environ.get("MAILS", "20000"))
LEADS = 100_000
SMTP_SOURCE = "/usr/sbin/smtp-source"
SMTP_SINK = "/usr/sbin/smtp-sink"
CONNECTIONS = 32

CONF = """
identity {{ organisation = "Bench"  postal_address = "1 Bench Street"  opt_out_line = "Say no." }}
store = "sqlite:{dir}/coldmail.db"
log {{ format = json }}
control {{ socket = "{dir}/control.sock" }}
mailbox "bench@sender.example" {{
	smtp = "smtp://127.0.0.1:{port}"  tls = none
	gap = 0s  daily_limit = 1m  connections = {connections}  ramp = {{}}
}}
campaign "bench" {{
	mailboxes = {{"bench@sender.example"}}  start = {start}
	domain_daily_limit = 0  window = 00:00-24:00  days = {{mon, tue, wed, thu, fri, sat, sun}}
	step "one" {{ template = "{dir}/one.tmpl" }}
}}
"""
TEMPLATE = """Subject: A question for {{company}}

Hi {{first_name|there}},

""" + "Here is a line of a mail that is as long as most lines of a mail are, no more.\n" * 8


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    sys.exit("smtp-sink does not listen")


class Sink:
    def __enter__(self):
        self.port = free_port()
        self.process = subprocess.Popen([SMTP_SINK, "-u", "nobody", "-m", "1024",
                                         f"127.0.0.1:{self.port}", "1024"])
        wait_for_port(self.port)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def prepare(folder, port, leads, start="auto"):
    (folder / "coldmail.conf").write_text(
        CONF.format(dir=folder, port=port, start=start, connections=CONNECTIONS))
    (folder / "one.tmpl").write_text(TEMPLATE)
    with open(folder / "leads.csv", "w", newline="") as f:
        out = csv.writer(f)
        out.writerow(["email", "first_name", "company"])
        for i in range(leads):
            out.writerow([f"person{i}@company{i % 5000}.example", "Ada", f"Company {i}"])
    began = time.monotonic()
    subprocess.run([BUILD / "coldmailctl", "-c", folder / "coldmail.conf", "leads", "import",
                    folder / "leads.csv", "--campaign", "bench"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return leads / (time.monotonic() - began)


def pipeline(port):
    """Mails a second between the first reservation and the last outcome, and CPU us a mail."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldmail-bench-"))
    try:
        imported = prepare(folder, port, MAILS)
        before = os.times()
        subprocess.run([BUILD / "coldmail", "-c", folder / "coldmail.conf", "--until-idle"],
                       check=True, stdout=subprocess.DEVNULL,
                       stderr=open(folder / "log", "w"))
        after = os.times()
        db = sqlite3.connect(f"file:{folder}/coldmail.db?mode=ro", uri=True)
        sent, first, last = db.execute(
            "select count(*), min(at), max(ended_at) from attempts"
            " where slot = 0 and state = 'sent'").fetchone()
        db.close()
        if sent != MAILS:
            sys.exit(f"{sent} of {MAILS} mails were sent: see {folder}/log")
        cpu = (after.children_user - before.children_user
               + after.children_system - before.children_system)
        return sent / ((last - first) / 1000), cpu / sent * 1e6, imported
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def smtp_source(port):
    began = time.monotonic()
    subprocess.run([SMTP_SOURCE, "-d", "-s", str(CONNECTIONS), "-m", str(MAILS), "-l", "1000",
                    "-f", "bench@sender.example", "-t", "person@company.example",
                    f"127.0.0.1:{port}"], check=True)
    return MAILS / (time.monotonic() - began)


def status(pid, key):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{key}:\s+(\d+)", text, re.M).group(1))


def idle(port):
    """Wake-ups a second (every thread) and resident MB with many leads, doing nothing."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="coldmail-bench-"))
    try:
        prepare(folder, port, LEADS, start="manual")
        daemon = subprocess.Popen([BUILD / "coldmail", "-c", folder / "coldmail.conf"],
                                  stderr=open(folder / "log", "w"))
        try:
            time.sleep(5)
            tasks = [int(t) for t in os.listdir(f"/proc/{daemon.pid}/task")]
            keys = ("voluntary_ctxt_switches",)
            before = sum(status(t, k) for t in tasks for k in keys)
            time.sleep(20)
            wakeups = (sum(status(t, k) for t in tasks for k in keys) - before) / 20
            return wakeups, status(daemon.pid, "VmRSS") / 1024
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(timeout=90)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    with Sink() as sink:
        runs = [(pipeline(sink.port), smtp_source(sink.port)) for _ in range(RUNS)]
        wakeups, rss = idle(sink.port)
    ratios = [ours[0] / theirs for ours, theirs in runs]
    print(f"pipeline   {statistics.median(o[0] for o, _ in runs):8.0f} mails/s"
          f"   smtp-source -d {statistics.median(t for _, t in runs):8.0f} mails/s"
          f"   ratio {statistics.median(ratios):.3f}"
          f"   ({min(ratios):.3f} to {max(ratios):.3f}, {RUNS} runs of {MAILS}, median)")
    print(f"pipeline   {statistics.median(o[1] for o, _ in runs):8.0f} us CPU a mail (all threads)")
    print(f"import     {statistics.median(o[2] for o, _ in runs):8.0f} leads/s (coldmailctl, daemon down)")
    print(f"idle       {wakeups:8.1f} wake-ups/s   {rss:.1f} MB resident with {LEADS} leads")


if __name__ == "__main__":
    main()
