"""What must hold for coldmail.service. Runs as root on a booted throw-away machine and nowhere
else: it installs into /, and its first question is where it is."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from fake_smtp import FakeSmtp
from support import BUILD, REPOSITORY, wait_until

CONF = pathlib.Path("/etc/coldmail.conf")
STATE = pathlib.Path("/var/lib/coldmail")
DROPIN = pathlib.Path("/run/systemd/system/coldmail.service.d/test.conf")

CAMPAIGN = """
identity {{
	organisation = "Example Labs"
	postal_address = "1 Example Street, Springfield, IL 62701, USA"
	opt_out_line = "Not relevant? Tell me and I will not write again."
}}
mailbox "ali@example.com" {{
	smtp = "smtp://127.0.0.1:{port}"
	tls = none
	gap = 0s
	daily_limit = 10000
	ramp = {{}}
}}
campaign "founders" {{
	mailboxes = {{"ali@example.com"}}
	start = auto
	domain_daily_limit = 0  window = 00:00-24:00  days = {{mon, tue, wed, thu, fri, sat, sun}}
	step "intro" {{ template = "/etc/coldmail/intro.tmpl" }}
}}
"""
TEMPLATE = "Subject: Hello {{first_name|there}}\n\nShort and to the point.\n"


def run(*argv, ok=True):
    """Runs a command; returns its output, or its whole result when it may fail (ok=False)."""
    done = subprocess.run(argv, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not ok:
        return done
    assert done.returncode == 0, f"{argv}: exit {done.returncode}\n{done.stdout}"
    return done.stdout


def show(name):
    return run("systemctl", "show", "coldmail", "-p", name, "--value").strip()


def pid():
    return int(show("MainPID"))


def journald():
    return int(run("systemctl", "show", "systemd-journald", "-p", "MainPID", "--value"))


def journal(*fields):
    run("journalctl", "--sync")
    lines = run("journalctl", "-u", "coldmail", "-o", "json", *fields).splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="session", autouse=True)
def installed():
    """`make install` as its reader would do it, with the words it ends with."""
    if b"container=boot" not in pathlib.Path("/proc/1/environ").read_bytes().split(b"\0"):
        pytest.exit("this is not a throw-away machine: run tests/systemd/boot", 1)
    CONF.unlink(missing_ok=True)
    shutil.rmtree(STATE, ignore_errors=True)
    out = run("make", "-C", REPOSITORY, "-o", "all", "install", f"BUILD={BUILD}")
    assert "systemd-sysusers && systemctl daemon-reload" in out
    run("systemd-sysusers")
    DROPIN.parent.mkdir(parents=True)
    DROPIN.write_text("[Service]\nWatchdogSec=2\nRestartSec=200ms\n")
    run("systemctl", "daemon-reload")


@pytest.fixture
def service():
    """A daemon that was never here before, on the configuration that was installed."""
    saved = CONF.read_text()
    yield
    os.kill(journald(), signal.SIGCONT)
    # pytest shows this where a test failed.
    print(run("journalctl", "-u", "coldmail", "-n", "60", ok=False).stdout)
    run("journalctl", "--rotate", "--vacuum-time=1us", ok=False)
    run("systemctl", "stop", "coldmail", ok=False)
    run("systemctl", "reset-failed", "coldmail", ok=False)
    CONF.write_text(saved)
    shutil.rmtree(STATE, ignore_errors=True)


@pytest.fixture
def server(tmp_path, request):
    """A mail server, and a campaign that sends to it."""
    with FakeSmtp(tmp_path / "fake", "--verbose", rules=getattr(request, "param", [])) as fake:
        CONF.parent.joinpath("coldmail").mkdir(exist_ok=True)
        CONF.parent.joinpath("coldmail/intro.tmpl").write_text(TEMPLATE)
        CONF.write_text(CAMPAIGN.format(port=fake.port))
        yield fake


def import_leads(tmp_path, n):
    leads = tmp_path / "leads.csv"
    leads.write_text("email,first_name\n" + "".join(f"p{i}@site{i}.example,P{i}\n" for i in range(n)))
    run("coldmailctl", "leads", "import", str(leads), "--campaign", "founders")


def test_unit_is_sound():
    assert run("systemd-analyze", "verify", "--man=no",
               "/usr/local/lib/systemd/system/coldmail.service") == ""
    want = {"Type": "notify", "User": "coldmail", "Group": "coldmail", "Restart": "always",
            "StartLimitIntervalUSec": "0", "RestartPreventExitStatus": "78", "LimitCORE": "0",
            "TimeoutStopUSec": "1min 30s", "ExecStartPre": "", "LogRateLimitIntervalUSec": "1s"}
    assert {name: show(name) for name in want} == want
    run("systemd-analyze", "security", "--threshold=20", "coldmail.service")
    # Whether NTP has the clock may be read.
    assert "adjtimex" in show("SystemCallFilter").split()


def test_start_returns_when_it_is_ready(service):
    run("systemctl", "start", "coldmail")
    assert show("ActiveState") == "active"
    run("coldmailctl", "status")
    assert "campaign" in show("StatusText")
    assert STATE.owner() == "coldmail" and STATE.stat().st_mode & 0o777 == 0o700


def test_status_is_live(service, server, tmp_path):
    run("systemctl", "start", "coldmail")
    before = show("StatusText")
    import_leads(tmp_path, 3)
    wait_until(lambda: len(server.mails()) == 3, what="three mails")
    wait_until(lambda: "sent 3 today" in show("StatusText"), what="STATUS= with three mails")
    assert show("StatusText") != before


def test_stopped_daemon_is_ended_by_the_watchdog(service):
    run("systemctl", "start", "coldmail")
    first = pid()
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: pid() not in (0, first), 15, "a new process")
    wait_until(lambda: show("ActiveState") == "active", what="the restart")
    assert "watchdog" in run("journalctl", "-u", "coldmail", "UNIT_RESULT=watchdog")


def test_killed_daemon_is_restarted(service):
    run("systemctl", "start", "coldmail")
    first = pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: pid() not in (0, first), what="a new process")
    wait_until(lambda: show("ActiveState") == "active", what="the restart")
    run("coldmailctl", "status")


def test_bad_configuration_is_not_tried_again(service):
    CONF.write_text("stor = 7\n")
    assert run("systemctl", "start", "coldmail", ok=False).returncode != 0
    time.sleep(1)  # five times RestartSec
    assert (show("ActiveState"), show("ExecMainStatus"), show("NRestarts")) == ("failed", "78", "0")
    assert any(f"{CONF}:1: " in entry["MESSAGE"] for entry in journal())


def test_a_credential_is_the_password(service, server, tmp_path):
    """LoadCredential= hands out what only root may read; without it the start says what is missing."""
    secret = CONF.parent / "coldmail/ali"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    with FakeSmtp(tmp_path / "login", "--user", "ali:s3cret") as wants_login:
        login = 'user = ali  password_file = "credential:box"\n\ttls = none'
        CONF.write_text(CAMPAIGN.format(port=wants_login.port).replace("tls = none", login))
        assert run("systemctl", "start", "coldmail", ok=False).returncode != 0
        assert any("LoadCredential=box:FILE" in str(entry["MESSAGE"]) for entry in journal())
        dropin = DROPIN.with_name("credential.conf")
        dropin.write_text(f"[Service]\nLoadCredential=box:{secret}\n")
        try:
            run("systemctl", "daemon-reload")
            run("systemctl", "start", "coldmail")
            import_leads(tmp_path, 2)
            wait_until(lambda: len(wants_login.mails()) == 2, what="two mails")
            run("systemctl", "reload", "coldmail")
        finally:
            dropin.unlink()
            run("systemctl", "daemon-reload")
    assert {mail.user for mail in wants_login.mails()} == {"ali"}
    assert "s3cret" not in run("journalctl", "-u", "coldmail", "-o", "export")


@pytest.mark.parametrize("server", [["on dot do delay 3000 then accept"]], indirect=True)
def test_stop_waits_for_a_mail_past_its_dot(service, server, tmp_path):
    run("systemctl", "start", "coldmail")
    import_leads(tmp_path, 1)
    wait_until(lambda: "< .\n" in server.err.read_text(), what="the dot")
    assert server.mails() == []
    run("systemctl", "stop", "coldmail")
    assert len(server.mails()) == 1
    assert show("Result") == "success"
    sends = json.loads(run("coldmailctl", "--json", "sends"))
    assert [send["outcome"] for send in sends] == ["sent"]


def test_reload(service, server):
    run("systemctl", "start", "coldmail")
    first = pid()
    CONF.write_text(CONF.read_text().replace("10000", "20"))
    run("systemctl", "reload", "coldmail")
    CONF.write_text(CONF.read_text() + "\nnonsense = 1\n")
    assert run("systemctl", "reload", "coldmail", ok=False).returncode != 0
    line = CONF.read_text().count("\n")
    assert any(f"{CONF}:{line}: " in str(entry["MESSAGE"]) for entry in journal())
    assert (show("ActiveState"), pid()) == ("active", first)


def test_journal_has_our_fields(service, server, tmp_path):
    run("systemctl", "start", "coldmail")
    import_leads(tmp_path, 1)
    wait_until(lambda: server.mails(), what="a mail")
    entry = wait_until(lambda: journal("COLDMAIL_EVENT=send"), what="the send's line")[0]
    assert entry["MESSAGE"].startswith("send lead=")
    assert entry["COLDMAIL_MAILBOX"] == "ali@example.com"
    assert entry["COLDMAIL_CAMPAIGN"] == "founders"
    assert entry["COLDMAIL_LEAD"] and entry["PRIORITY"] == "6"


def test_stopped_journal_delays_nothing(service, server, tmp_path):
    run("systemctl", "start", "coldmail")
    first = pid()
    os.kill(journald(), signal.SIGSTOP)
    import_leads(tmp_path, 500)
    wait_until(lambda: len(server.mails()) == 500, 20, "500 mails")
    time.sleep(3)  # longer than the watchdog's patience
    assert (pid(), show("NRestarts")) == (first, "0")
