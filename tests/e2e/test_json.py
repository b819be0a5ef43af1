"""With --json every command prints one object or one array on standard output and nothing else,
whatever it answers: done, checked only, refused, misused, the daemon down."""
import json
import os
import pty
import re
import subprocess

import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import BUILD

LEAD = "lead1@take.example"
# Every command of --help -> (its arguments, what it prints when it does as it is told)
COMMANDS = {
    "status": ([], dict),
    "why": ([], list),
    "reload": ([], dict),
    "version": ([], dict),
    "campaigns": ([], list),
    "start": (["founders"], dict),
    "pause": (["all"], dict),
    "resume": (["mailbox", ALI], dict),
    "preview": (["founders", "--lead", LEAD], dict),
    "leads import": (["{folder}/more.csv", "--campaign", "founders"], dict),
    "leads list": ([], list),
    "leads show": ([LEAD, "--all"], dict),
    "leads hold": ([LEAD], dict),
    "leads release": ([LEAD], dict),
    "leads stop": ([LEAD, "--because", "replied"], dict),
    "leads export": ([], list),
    "sends": ([], list),
    "resolve": (["{uncertain}", "--not-sent"], dict),
    "audit": (["--fix"], dict),
    "suppress add": (["*@y.example", "z.example"], dict),
    "suppress remove": (["x.example", "--reason", "a mistake"], dict),
    "suppress check": (["a@x.example"], dict),
    "suppress list": ([], list),
    "suppress import": (["{folder}/list"], dict),
    "suppress export": (["{folder}/exported"], dict),
    "mailboxes": ([], list),
    "test-send": (["founders", "--to", "me@send.example"], dict),
    "backup": (["{folder}/backup.db"], dict),
    "restore": (["{folder}/nothing.db"], dict),
    "takeover": ([], dict),
    "forget": (["lead3@take.example"], dict),
}


@pytest.fixture
def coldmail(tmp_path):
    """Something of everything: a lead that went out and nobody knows, others that wait."""
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do rst"]) as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as c:
        (c.folder / "more.csv").write_text("email\nmore@take.example\nbad\n")
        (c.folder / "list").write_text("w.example\nnot a pattern\n")
        c.ctl("suppress", "add", "x.example")
        c.import_leads(addresses(9))
        yield c


def one_value(text):
    """The only JSON value that TEXT is; nothing is before it and nothing behind."""
    value, end = json.JSONDecoder().raw_decode(text)
    assert text[end:] == "\n", text
    assert isinstance(value, (dict, list)), text
    return value


def run(coldmail, *words, **keys):
    return subprocess.run(
        [coldmail.ctl_program, "-c", coldmail.conf, *words],
        **{"text": True, "timeout": 30, "capture_output": True, "stdin": subprocess.DEVNULL, **keys},
    )


def arguments(coldmail, command):
    words, _ = COMMANDS[command]
    uncertain = ""
    if "{uncertain}" in words:
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state = 'uncertain'", 1)
        uncertain = coldmail.count("SELECT _id FROM attempts WHERE state = 'uncertain'")
    return [w.format(folder=coldmail.folder, uncertain=uncertain) for w in words]


def test_every_command_is_in_the_table():
    shown = subprocess.run(
        [BUILD / "coldmailctl", "--help"], text=True, stdout=subprocess.PIPE, check=True
    ).stdout
    names = re.findall(r"^  ([a-z][a-z -]*?)(?: [A-Z\[].*?)?  +\S", shown, re.M)
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_one_value(coldmail, command):
    coldmail.start()
    words, kind = [*command.split(), *arguments(coldmail, command)], COMMANDS[command][1]
    # Of an export there is no rehearsal: FILE must not be there yet.
    rehearsal = [] if command == "suppress export" else [["--dry-run"]]
    for more in (*rehearsal, ["--yes"], ["--yes", "--verbose"]):
        done = run(coldmail, "--json", *words, *more)
        value = one_value(done.stdout)
        assert "error" in value or isinstance(value, kind), done
        # What cannot be done now, and what cannot be done twice.
        if command not in ("restore", "takeover", "test-send") and more == ["--yes"]:
            assert "error" not in value, done
    assert coldmail.stop() == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_prints_one_value_when_the_daemon_is_down(coldmail, command):
    coldmail.start()
    words = [*command.split(), *arguments(coldmail, command)]
    assert coldmail.stop() == 0
    for more in (["--dry-run"], ["--yes"]):
        one_value(run(coldmail, "--json", *words, *more).stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_is_misused_prints_one_value(coldmail, command):
    for words in (["--nosuch"], ["--socket"], ["a", "b", "c", "d", "--nosuch", "--json"]):
        for form in (["--json", *command.split(), *words], [*command.split(), *words, "--json"]):
            if form[-2:] == ["--socket", "--json"]:
                continue  # that is its value
            done = run(coldmail, *form)
            assert done.returncode == 64, done
            value = one_value(done.stdout)
            assert value["exit"] == 64 and value["error"] in done.stderr


def test_what_is_no_command_prints_one_value(coldmail):
    for words in (["--version"], ["nosuch"], ["leads"], ["status", "--watch"]):
        one_value(run(coldmail, *words, "--json").stdout)
    coldmail.conf.write_text("nonsense\n")
    one_value(run(coldmail, "--json", "status").stdout)


def answered(coldmail, *words, typed):
    """On a terminal, its standard output apart."""
    ours, theirs = pty.openpty()
    os.write(ours, typed)
    done = run(coldmail, "--json", *words, stdin=theirs)
    os.close(theirs)
    os.close(ours)
    return done


@pytest.mark.parametrize("typed, status", [(b"n\n", 1), (b"y\n", 0)])
def test_a_question_is_not_asked_on_standard_output(tmp_path, typed, status):
    with Coldmail(tmp_path / "run", mailbox(ALI, 1), campaign(start="manual")) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.ctl("backup", str(coldmail.folder / "copy.db"))
        # An older copy in the store's place: it is to be taken over.
        for words in (
            ["start", "founders"],
            ["forget", "lead0@take.example"],
            ["restore", str(coldmail.folder / "copy.db")],
        ):
            done = answered(coldmail, *words, typed=typed)
            value = one_value(done.stdout)
            assert done.returncode == status and "[y/N]" in done.stderr, done
            assert ("error" in value) == bool(status)


@pytest.mark.parametrize("typed, status", [(b"n\n", 1), (b"y\n", 0)])
def test_a_takeover_that_asks_prints_one_value(tmp_path, typed, status):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "run", mailbox(ALI, server.port), campaign()
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        assert coldmail.run_until_idle()[0] == 0
        copy = coldmail.folder / "copy.db"
        coldmail.ctl("backup", str(copy))
        coldmail.ctl("restore", str(copy))
        done = answered(coldmail, "takeover", typed=typed)
        value = one_value(done.stdout)
        assert done.returncode == status and ("error" in value) == bool(status), done
        assert "taken for a copy" in done.stderr and "[y/N]" in done.stderr


def test_exports_are_arrays_of_what_the_csv_has(coldmail):
    coldmail.ctl("suppress", "add", "gone.example", "--until", "2020-01-01", status=None)
    coldmail.ctl("suppress", "add", "y.example")
    rows = run(coldmail, "suppress", "export").stdout.splitlines()[1:]
    entries = coldmail.ctl("suppress", "export")
    assert [e["pattern"] for e in entries] == [row.split(",")[0] for row in rows] != []
    file = coldmail.folder / "exported"
    assert coldmail.ctl("suppress", "export", str(file)) == {"path": str(file), "written": len(rows)}
    assert file.read_text().splitlines()[1:] == rows
    leads = run(coldmail, "leads", "export").stdout.splitlines()[1:]
    assert [r["email"] for r in coldmail.ctl("leads", "export")] == [l.split(",")[0] for l in leads]
    assert len(leads) == 9
