"""What TLS costs, and a relay that takes its time. Called by tls.sh. Loopback only.

Prints: mails a second of the SMTP client over kept connections with TLS and without, into the same
fake-smtp in turn, as medians of ROUNDS, and their ratio (aim: 0.5); the memory that 256 open TLS
sessions take (aim: 32 MB), and how long the loop is busy at a stretch while they open (aim: 20 ms);
and mails a second of the daemon at a relay whose replies come after 20 ms, that to the dot after
300 ms, as a part of what its connections can do (aim: 0.9).
"""
import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("BUILD", "build")).resolve()
ROUNDS = int(os.environ.get("ROUNDS", "5"))
MAILS = int(os.environ.get("MAILS", "20000"))
SESSIONS = 256
REPLY_MS, DOT_MS, RELAY_CONNECTIONS, RELAY_MAILS = 20, 300, 16, 480

CONF = """
identity {{ organisation = "Bench"  postal_address = "1 Bench Street"  opt_out_line = "Say no." }}
store = "sqlite:{dir}/coldmail.db"
log {{ format = json }}
control {{ socket = "{dir}/control.sock" }}
mailbox "bench@sender.example" {{
	smtp = "smtp://127.0.0.1:{port}"  tls = none
	gap = 0s  daily_limit = 1m  ramp = {{}}  connections = {connections}
}}
campaign "bench" {{
	mailboxes = {{"bench@sender.example"}}  start = auto
	domain_daily_limit = 0  window = 00:00-24:00  days = {{mon, tue, wed, thu, fri, sat, sun}}
	step "one" {{ template = "{dir}/one.tmpl" }}
}}
"""


def certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-keyout", key, "-out", cert, "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, stderr=subprocess.DEVNULL)
    return cert, key


@contextlib.contextmanager
def fake_smtp(folder, *options):
    """Its port."""
    port = folder / "port"
    port.unlink(missing_ok=True)
    with subprocess.Popen([BUILD / "fake-smtp", "--quiet", "--port-file", port, *options]) as server:
        while not (port.exists() and port.read_text().strip()):
            if server.poll() is not None:
                sys.exit("fake-smtp does not start")
            time.sleep(0.02)
        try:
            yield int(port.read_text())
        finally:
            server.terminate()


def client(url, *options, **keys):
    return subprocess.Popen([BUILD / "bench-smtp_client", *options, url], stdout=subprocess.PIPE,
                            text=True, **keys)


def rate(url, *options):
    """Mails a second, the connections' beginning and end included."""
    began = time.monotonic()
    with client(url, "--connections", "32", "--mails", str(MAILS), *options) as process:
        out = process.stdout.read()
    if f" sent {MAILS} " not in out:
        sys.exit(f"not all were sent: {out}")
    return MAILS / (time.monotonic() - began)


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^VmRSS:\s+(\d+)", text, re.M)[1]) / 1024


def held(url, sessions, *options):
    """MB resident with so many sessions open, each of which has carried a mail."""
    with client(url, "--connections", str(sessions), "--mails", str(3 * sessions), "--pause", "1500",
                *options) as process:
        time.sleep(2.5)  # between the first mail of each and its second
        mb = memory(process.pid)
        if len(os.listdir(f"/proc/{process.pid}/fd")) < sessions:
            sys.exit("the sessions are not open")
        if " refused 0 not_sent 0 uncertain 0 " not in process.stdout.read():
            sys.exit("not all were sent")
    return mb


def all_at_once(url, *options):
    """(seconds, ms of the longest turn) until SESSIONS sessions, opened at once, have sent a mail each."""
    with client(url, "--connections", str(SESSIONS), "--mails", str(SESSIONS), *options) as process:
        words = process.stdout.read().split()
    said = dict(zip(words[::2], words[1::2]))
    if said.get("sent") != str(SESSIONS):
        sys.exit(f"not all were sent: {words}")
    return float(said["seconds"]), float(said["stall_ms"])


def relay(folder):
    """Mails a second that the daemon gets out of RELAY_CONNECTIONS, once all of them are open."""
    accepted = folder / "accepted"
    rules = [f"on {verb} do delay {REPLY_MS}" for verb in ("mail", "rcpt", "data")]
    rules.append(f"on dot do delay {DOT_MS}")
    options = [word for rule in rules for word in ("--rule", rule)]
    with fake_smtp(folder, "--list", accepted, *options) as port:
        conf = folder / "coldmail.conf"
        conf.write_text(CONF.format(dir=folder, port=port, connections=RELAY_CONNECTIONS))
        (folder / "one.tmpl").write_text("Subject: Bench\n\nHi.\n")
        leads = "".join(f"person{i}@company{i}.example\n" for i in range(RELAY_MAILS))
        (folder / "leads.csv").write_text("email\n" + leads)
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([BUILD / "coldmailctl", "-c", conf, "leads", "import", folder / "leads.csv",
                        "--campaign", "bench"], **quiet)
        subprocess.run([BUILD / "coldmail", "-c", conf, "--until-idle"], **quiet)
    times = [int(line.split("\t")[1]) for line in accepted.read_text().splitlines()]
    if len(times) != RELAY_MAILS:
        sys.exit(f"{len(times)} of {RELAY_MAILS} mails arrived")
    return (RELAY_MAILS - RELAY_CONNECTIONS) * 1000 / (times[-1] - times[RELAY_CONNECTIONS - 1])


def main():
    with tempfile.TemporaryDirectory(prefix="coldmail-bench-") as name:
        folder = pathlib.Path(name)
        cert, key = certificate(folder)
        tls, plain = [], []
        for _ in range(ROUNDS):
            with fake_smtp(folder) as port:
                plain.append(rate(f"smtp://127.0.0.1:{port}"))
            with fake_smtp(folder, "--tls", "--cert", cert, "--key", key) as port:
                tls.append(rate(f"smtps://127.0.0.1:{port}", "--ca", cert))
        with fake_smtp(folder, "--tls", "--cert", cert, "--key", key) as port:
            one, many = (held(f"smtps://127.0.0.1:{port}", n, "--ca", cert) for n in (1, SESSIONS))
            opening = [all_at_once(f"smtps://127.0.0.1:{port}", "--ca", cert) for _ in range(ROUNDS)]
        reached = relay(folder)
    t, p = statistics.median(tls), statistics.median(plain)
    print(f"tls        {t:8.0f} mails/s   without {p:8.0f} mails/s   ratio {t / p:.2f} (aim: 0.5;"
          f" 32 connections, {ROUNDS} runs of {MAILS}, medians)")
    print(f"tls        {many - one:8.1f} MB for {SESSIONS} open sessions (aim: 32)")
    seconds, turn = (statistics.median(values) for values in zip(*opening))
    print(f"tls        {turn:8.1f} ms the longest turn while {SESSIONS} sessions open at once, in"
          f" {seconds:.2f} s (aim: 20)")
    most = RELAY_CONNECTIONS * 1000 / (3 * REPLY_MS + DOT_MS)
    print(f"slow relay {reached:8.1f} mails/s of {most:.1f}   ratio {reached / most:.2f} (aim: 0.9;"
          f" {RELAY_CONNECTIONS} connections, {REPLY_MS} ms a reply, {DOT_MS} ms the dot)")


if __name__ == "__main__":
    main()
