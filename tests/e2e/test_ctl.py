"""coldmailctl and the control socket, as people and their scripts use them: what is printed and in
which shape, every exit status, files of all kinds, and a socket that bears anything."""
import contextlib
import csv
import datetime
import http.client
import io
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

from daemon import ALI, Coldmail, Control, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import BUILD, missing, wait_until

NOBODY = 65534


@pytest.fixture
def server(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as smtp:
        yield smtp


@pytest.fixture
def coldmail(tmp_path, server):
    with Coldmail(tmp_path / "c", mailbox(ALI, server.port), campaign()) as c:
        yield c


def run(coldmail, *arguments, data=None, **keys):
    """coldmailctl as a person types it: without --json. Its result, with text."""
    return subprocess.run([coldmail.ctl_program, "-c", coldmail.conf, *arguments], text=True,
                          timeout=60, input=data, capture_output=True, **keys)


def bare(*arguments):
    """coldmailctl without any configuration."""
    return subprocess.run([BUILD / "coldmailctl", *arguments], text=True, timeout=10,
                          stdin=subprocess.DEVNULL, capture_output=True)


# ---- the command line ----------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, said", [
    (["statsu"], 'unknown command "statsu"; did you mean status?'),
    (["stat"], 'unknown command "stat"; did you mean status?'),
    (["strat"], 'unknown command "strat"; coldmailctl --help'),
    (["resme"], 'unknown command "resme"; coldmailctl --help'),
    (["leads", "relese"], "leads: one of these was expected next: import, list, show"),
    (["leads"], "leads: one of these was expected next: import, list, show"),
    (["leads", "shwo"], 'unknown command "leads shwo"; did you mean leads show?'),
    (["frobnicate"], 'unknown command "frobnicate"; coldmailctl --help lists the commands'),
    (["leads", "show"], "leads show: ADDRESS was expected"),
    (["leads", "show", "a@b.co", "c@d.co"],
     'unexpected argument "c@d.co"; usage: coldmailctl leads show ADDRESS\n'),
    (["leads", "list", "--stat", "held"], "unknown option --stat; --state?"),
    (["--dry-rnu", "leads", "list"], "unknown option --dry-rnu; --dry-run?"),
    (["leads", "list", "--zzzzzzz"], "unknown option --zzzzzzz; coldmailctl leads list --help"),
    (["leads", "list", "-x"], "unknown option -x"),
    (["leads", "list", "--state"], "--state: a value STATE was expected"),
    (["leads", "list", "--json=yes"], "--json takes no value"),
    (["sends", "--last", "many"], "--last: a number from 1 on was expected"),
    (["sends", "--last", "0"], "--last: a number from 1 on was expected"),
    (["resolve", "a#1"], "resolve: one of --sent and --not-sent was expected"),
    (["resolve", "a#1", "--sent", "--not-sent"], "resolve: one of --sent and --not-sent"),
    (["pause"], "pause: all, clock, campaign NAME or mailbox ADDRESS was expected"),
    (["pause", "campaign"], "pause: all, clock, campaign NAME or mailbox ADDRESS was expected"),
    (["pause", "all", "x"], "pause: all, clock, campaign NAME or mailbox ADDRESS was expected"),
    (["suppress", "remove", "a@b.co"], "suppress remove: --reason TEXT was expected"),
    (["suppress", "import", "/nowhere/list"], "/nowhere/list: No such file or directory"),
    (["leads", "import", "/nowhere/leads.csv"], "/nowhere/leads.csv: No such file or directory"),
])
def test_a_mistake_is_one_line_that_says_what_was_expected(arguments, said):
    done = bare(*arguments)
    assert done.returncode == 64 and not done.stdout
    assert done.stderr.startswith(f"coldmailctl: {said}") and done.stderr.count("\n") == 1


def test_an_error_is_an_object_for_scripts(coldmail):
    done = coldmail.ctl("leads", "list", "--state", "odd", status=None)
    answer = json.loads(done.stdout)
    assert answer["exit"] == done.returncode == 64 and answer["error"] in done.stderr
    coldmail.start()
    coldmail.configure("mailbox { }\nnonsense = 1\n")
    done = coldmail.ctl("reload", status=None)
    answer = json.loads(done.stdout)
    assert answer["exit"] == done.returncode == 78
    assert answer["errors"] == done.stderr.splitlines() and len(answer["errors"]) >= 2


def test_help_of_all_and_of_each():
    everything = bare()
    assert everything.returncode == 0 and everything.stdout == bare("--help").stdout
    words = [re.match(r"  ([a-z-]+(?: [a-z]+)?)", line)[1]
             for line in everything.stdout.splitlines() if line.startswith("  ") and line[2] != "-"]
    assert len(words) > 20
    for word in words:
        done = bare(*word.split(), "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"usage: coldmailctl [OPTIONS] {word}")
    assert bare("--version").stdout.startswith("coldmailctl ")


def test_options_stand_before_and_after_and_dashes_can_be_arguments(coldmail):
    assert coldmail.ctl("leads", "list", "--state=held") == []
    assert run(coldmail, "--json", "leads", "--state", "held", "list").returncode == 64
    assert run(coldmail, "leads", "list", "--json", "--state", "held").stdout == "[]\n"
    done = run(coldmail, "leads", "show", "--", "-odd@x.example")
    assert done.returncode == 1 and "nothing is known of this address" in done.stderr


# ---- with and without a daemon --------------------------------------------------------------------

def test_without_a_daemon_the_store_is_still_there(coldmail):
    status = coldmail.ctl("status", status=None)
    assert status.returncode == 69 and "coldmail is not running" in status.stderr
    assert coldmail.ctl("reload", status=None).returncode == 69
    why = run(coldmail, "why")
    assert why.returncode == 0 and why.stdout.startswith("daemon not running")
    reasons = coldmail.ctl("why")
    assert [set(r) for r in reasons] == [{"subject", "reason", "value", "limit", "until", "binds"}]
    assert coldmail.import_leads(addresses(3))["added"] == 3
    assert len(coldmail.ctl("leads", "list")) == 3
    assert not coldmail.socket.exists(), "the daemon for maintenance is gone, with its socket"
    done = bare("--socket", str(coldmail.socket), "leads", "list")
    assert done.returncode == 69, "a socket of one's own choice is a certain daemon's"


def test_commands_at_once_without_a_daemon_wait_for_each_other(coldmail):
    coldmail.import_leads(addresses(2))
    command = [coldmail.ctl_program, "-c", coldmail.conf, "--json", "leads", "list"]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for _ in range(4)]
    for one in several:
        out, err = one.communicate(timeout=60)
        # One that used another's daemon may see it go; it says so and changes nothing.
        assert one.returncode == 0 and len(json.loads(out)) == 2 or \
            one.returncode == 69 and "coldmail" in err, (one.returncode, out, err)


def test_a_store_that_another_process_has_is_said_at_once(coldmail):
    coldmail.import_leads(addresses(1))
    coldmail.start()
    coldmail.socket.unlink()
    began = time.monotonic()
    done = run(coldmail, "leads", "list")
    assert done.returncode == 1 and "another process uses this store" in done.stderr, done
    assert time.monotonic() - began < 8


def test_a_broken_configuration_passes_through(coldmail):
    coldmail.configure("mailbox { }\nnonsense = 1\n")
    done = coldmail.ctl("leads", "list", status=None)
    assert done.returncode == 78 and json.loads(done.stdout)["exit"] == 78
    assert len(re.findall(rf"^{re.escape(str(coldmail.conf))}:\d+: ", done.stderr, re.M)) >= 2


def test_a_file_that_cannot_be_read_steers_no_daemon(coldmail):
    """A mistyped -c must not end at the socket of whatever daemon runs by the default."""
    for words in (["status"], ["why"], ["pause", "all"], ["leads", "list"]):
        done = bare("-c", str(coldmail.folder / "typo.conf"), *words)
        assert done.returncode == 78 and not done.stdout
        assert "typo.conf:1: cannot read" in done.stderr and done.stderr.count("\n") == 1
    coldmail.start()
    done = bare("-c", "/nowhere", "--socket", str(coldmail.socket), "leads", "list")
    assert done.returncode == 0, "who names the socket needs no file"


def test_a_killed_coldmailctl_leaves_no_daemon_behind(coldmail):
    """SIGKILL in the middle of an import: its daemon ends by itself, and the store is free again."""
    coldmail.import_leads(addresses(2))
    big = coldmail.folder / "big.csv"
    big.write_text("email\n" + "".join(f"p{i}@x.example\n" for i in range(200000)))
    ctl = subprocess.Popen([coldmail.ctl_program, "-c", coldmail.conf, "leads", "import", big,
                            "--campaign", "founders"], stdout=subprocess.DEVNULL)
    wait_until(coldmail.socket.exists, what="the daemon for maintenance")
    time.sleep(0.1)
    ctl.kill()
    ctl.wait(10)
    wait_until(lambda: not coldmail.socket.exists(), what="its end")
    assert coldmail.ctl("audit")["findings"] == []


def test_a_stopped_daemon_is_waited_for(coldmail):
    coldmail.start()
    coldmail.process.send_signal(signal.SIGSTOP)
    try:
        process = subprocess.Popen([coldmail.ctl_program, "-c", coldmail.conf, "why"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
    finally:
        coldmail.process.send_signal(signal.SIGCONT)
    process.communicate(timeout=20)
    assert process.returncode == 0


# ---- who may ---------------------------------------------------------------------------------------

def test_strangers_may_not_and_are_told_whom_to_ask(coldmail):
    if os.geteuid():
        missing("root, to be somebody else")
    coldmail.start()
    assert oct(coldmail.socket.stat().st_mode & 0o777) == "0o660"
    for folder in (coldmail.folder, *coldmail.folder.parents):
        if folder.stat().st_mode & 0o1 == 0 and folder.stat().st_uid == 0:
            folder.chmod(folder.stat().st_mode | 0o11)
    as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    done = run(coldmail, "--socket", coldmail.socket, "leads", "list", **as_nobody)
    assert done.returncode == 69 and "permission denied" in done.stderr
    assert "group coldmail" in done.stderr
    coldmail.socket.chmod(0o666)  # past the file's mode: then it is the peer's uid that counts
    done = run(coldmail, "--socket", coldmail.socket, "leads", "list", **as_nobody)
    assert done.returncode == 69 and "permission denied" in done.stderr


def test_started_by_root_the_owner_of_the_store_is_who_acts(tmp_path, server):
    if os.geteuid():
        missing("root, to be somebody else")
    base = tmp_path / "c"
    coldmail = Coldmail(base, mailbox(ALI, server.port), campaign())
    for folder in (base, *base.parents):
        if folder.stat().st_uid == 0 and folder.stat().st_mode & 0o5 != 0o5:
            folder.chmod(folder.stat().st_mode | 0o55)
    state, runtime = base / "state", base / "run"
    state.mkdir()
    os.chown(state, NOBODY, NOBODY)
    coldmail.store, coldmail.socket = state / "store.db", runtime / "control.sock"
    coldmail.configure(mailbox(ALI, server.port), campaign())
    for file in base.iterdir():
        if file.is_file():
            file.chmod(0o644)
    with coldmail:
        coldmail.import_leads(addresses(2))
        assert {f.stat().st_uid for f in state.iterdir()} == {NOBODY}
        coldmail.start()
        assert coldmail.socket.stat().st_uid == NOBODY and runtime.stat().st_uid == NOBODY
        coldmail.wait_sent(2)
        assert coldmail.ctl("backup", str(state / "copy.db"))["bytes"] > 0
        assert (state / "copy.db").stat().st_uid == NOBODY


# ---- importing -------------------------------------------------------------------------------------

def test_an_import_names_every_line_it_did_not_take(coldmail):
    file = coldmail.folder / "messy.csv"
    file.write_bytes("\ufeffEmail,First Name,campaign\r\n"
                     "Bob@X.example,Bob,\r\n"
                     "bob@x.EXAMPLE,Bob,\r\n"
                     "nobody,No,\r\n"
                     ",Empty,\r\n"
                     "n/a,Null,\r\n"
                     "\"quoted\nname <q@x.example>\",\"Q, \"\"q\"\"\",\r\n"
                     "too,many,fields,here\r\n"
                     "c@x.example,C,nowhere\r\n"
                     "stop@quiet.example,S,\r\n"
                     "last@x.example,Last,founders\r\n".encode())
    assert run(coldmail, "suppress", "add", "quiet.example").returncode == 0
    answer = coldmail.ctl("leads", "import", str(file), "--campaign", "founders")
    assert {k: answer[k] for k in ("added", "updated", "duplicate", "suppressed", "invalid")} == {
        "added": 2, "updated": 0, "duplicate": 1, "suppressed": 1, "invalid": 6}
    assert [(p["line"], p["result"]) for p in answer["problems"]] == [
        (3, "duplicate"), (4, "invalid"), (5, "invalid"), (6, "invalid"), (7, "invalid"), (9, "invalid"),
        (10, "invalid"), (11, "suppressed")]
    text = {p["line"]: p["text"] for p in answer["problems"]}
    assert "field email: no address, expected" in text[5] and "founders" in text[10] and '"nowhere"' in text[10]
    again = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert again.returncode == 0
    assert "0 added, 0 updated, 4 duplicate, 0 suppressed, 6 invalid" in again.stdout
    assert re.search(rf"^{re.escape(str(file))}:5: invalid: field email: no address", again.stdout, re.M)
    assert f"{file}:3: duplicate: bob@x.example is stored already, and nothing in this row is new" in again.stdout
    assert "founders: 2 leads wait; about" in again.stdout
    assert re.search(r"^It has not been started|^Next mail: \S", again.stdout, re.M)


# A record that cannot be taken -> the field, what is wrong, what was expected, the remedy.
BIG = "x" * 66000
BAD_RECORDS = {
    "nul": (b"a@x.example,A\0da,", "note: a NUL byte, expected text: take it out"),
    "nul in the first field": (b"a\0@x.example,,", "email: a NUL byte, expected text: take it out"),
    "big": (f"a@x.example,,{BIG}".encode(), "other: a value of more than 64 KB, expected at most 64 KB: shorten"),
    "big, quoted": (f'a@x.example,"{BIG}",'.encode(),
                    "note: a quoted value of more than 64 KB, expected at most 64 KB: is its closing quote"),
    "open": (b'a@x.example,,"open', "other: a quote that is opened and never closed, expected another one"),
    "text behind a quote": (b'a@x.example,"A" da,', "note: text behind a closing quote, expected a comma or"),
    "latin 1": (b"a@x.example,K\xf6ln,\xc3\xb6", "note: not UTF-8 text, expected a file saved as CSV in UTF-8"),
    "too few": (b"a@x.example", "3 as in the first line: those from note on are missing, and an empty one"),
    "too many": (b"a@x.example,Ada, Lovelace,", "3 as in the first line, the last being other: a value with"),
    "no address": (b",Ada,", "email: no address, expected one such as name@example.com"),
    "a bad address": (b"ada at x,,", 'email: "ada at x": an address without @, expected one address such as'),
}


@pytest.mark.parametrize("bad", BAD_RECORDS)
def test_a_record_that_cannot_be_taken_names_its_line_its_field_and_the_remedy(coldmail, bad):
    record, text = BAD_RECORDS[bad]
    file = coldmail.folder / "leads.csv"
    file.write_bytes(b"email,note,other\nfirst@x.example,,\n" + record + b"\n")
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert "1 added" in done.stdout and "1 invalid" in done.stdout
    (line,) = re.findall(r"^.*: invalid: (.*)$", done.stdout, re.M)
    assert f"{file}:3: invalid: " in done.stdout and text in line
    assert line.startswith("field ") or "field" in line.split(",")[0]


# A file whose first line cannot be used -> where, what, what was expected, the remedy.
BAD_FILES = {
    "empty": (b"", "1: an empty file, expected a first line that names the columns, such as"),
    "no heading": (b"a@x.example,Ada\n", "1: field 1: an address, expected a first line that names the columns"),
    "nul": (b"email,no\0te\n", "1: field 2: a NUL byte, expected text: take it out"),
    "latin 1": (b"\n\nemail,K\xf6ln,K\xc3\xb6ln\n", "3: field 2: not UTF-8 text, expected a file saved as CSV in UTF-8"),
    "twice": (b"\nemail,Name,name\n", "2: two columns named name, expected each name once: rename one"),
    "no email": (b"\nname,mail_to\n", "2: a column email was expected (or --map COLUMN=email)"),
    "open": (b'email,"no', "1: field 2: a quote that is opened and never closed, expected another one"),
}


@pytest.mark.parametrize("bad", BAD_FILES)
def test_a_file_that_cannot_be_read_names_the_line_and_the_remedy(coldmail, bad):
    data, text = BAD_FILES[bad]
    file = coldmail.folder / "leads.csv"
    file.write_bytes(data)
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert done.returncode == 64 and f"{file}:{text}" in done.stderr


def test_a_row_of_an_import_over_the_socket_names_its_field(coldmail):
    """What no CSV file can bring."""
    coldmail.start()
    rows = [
        {"line": 1, "vars": {"email": "a@x.example", "note": 7}},
        {"line": 2, "vars": {"email": "a@x.example", "n" * 65: "x"}},
        {"line": 3, "vars": {"email": "a@x.example", "campaign": "nowhere"}},
        {"line": 4, "vars": 7},
    ]
    answer = coldmail.control().call("leads/import", rows=rows)["rows"]
    assert [row["result"] for row in answer] == ["invalid"] * 4
    for row, field in zip(answer, ('field "note": ', 'field "nnn', "field campaign: ", "not a record, ")):
        assert row["text"].startswith(field) and "expected" in row["text"]


def test_rows_that_are_stored_already_are_told_by_a_few_of_their_lines(coldmail):
    data = "email\n" + "".join(f"p{i}@x.example\n" for i in range(9))
    words = ["leads", "import", "-", "--campaign", "founders"]
    assert run(coldmail, *words, data=data).stdout.startswith("9 added")
    lines = run(coldmail, *words, data=data).stdout.splitlines()
    assert [re.match(r".*:(\d+): duplicate: ", line)[1] for line in lines[:5]] == list("23456")
    assert lines[5] == "… and 4 more such lines (--verbose prints them)"
    assert run(coldmail, "--verbose", *words, data=data).stdout.count(": duplicate: ") == 9
    answer = json.loads(run(coldmail, "--json", *words, data=data).stdout)
    assert answer["duplicate"] == 9 and [p["line"] for p in answer["problems"]] == [2, 3, 4, 5, 6]
    one = run(coldmail, *words, data="email\np0@x.example\n").stdout
    assert ":2: duplicate: p0@x.example" in one and "more such" not in one


def test_a_check_of_an_import_stores_nothing(coldmail):
    file = coldmail.folder / "leads.csv"
    file.write_text("email\na@x.example\nbad\n")
    answer = coldmail.ctl("--dry-run", "leads", "import", str(file), "--campaign", "founders")
    assert (answer["added"], answer["invalid"], answer["dry_run"]) == (1, 1, True)
    shown = run(coldmail, "--dry-run", "leads", "import", str(file)).stdout
    assert "It would be: 1 added, " in shown and "nothing was stored" in shown
    assert coldmail.ctl("leads", "list") == []


def test_what_is_no_campaign_is_said_before_anything_is_done(coldmail):
    for words in (["leads", "import", "-", "--campaign", "nosuch"], ["start", "nosuch"]):
        done = run(coldmail, *words, data="email\na@x.example\n")
        assert done.returncode == 1 and not done.stdout
        assert done.stderr == (f'coldmailctl: no campaign "nosuch" in {coldmail.conf}; '
                               "there are: founders\n")
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", data="email\nbad\n")
    assert done.returncode == 1, "nothing of it was valid"


def test_columns_can_be_renamed_and_a_missing_one_is_named(coldmail):
    data = "Kontakt  (E-Mail),VORNAME,Ort=Land\n" "a@x.example,Ann,Paris\n"
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", data=data)
    assert done.returncode == 64 and "(standard input):1: " in done.stderr and "email" in done.stderr
    assert "kontakt_e_mail, vorname, ort_land" in done.stderr
    for how in ("Kontakt  (E-Mail)", "kontakt (e-mail)", "kontakt_e_mail"):
        done = run(coldmail, "--dry-run", "leads", "import", "-", "--map", f"{how}=email", data=data)
        assert done.returncode == 0 and "would be: 1 added" in done.stdout, done
    done = run(coldmail, "leads", "import", "-", "--map", "Kontakt  (E-Mail)=Email", "--map",
               "Vorname=first_name", "--map", "Ort=Land=city", "--campaign", "founders", data=data)
    assert done.returncode == 0 and "1 added" in done.stdout, done
    lead = coldmail.ctl("leads", "show", "a@x.example")["lead"]
    assert (lead["first_name"], lead["city"], lead["extra"]) == ("Ann", "Paris", {})


@pytest.mark.parametrize("wrong, said", [
    ("kontakt", "COLUMN=FIELD was expected"), ("kontakt=", "COLUMN=FIELD was expected"),
    ("=email", "COLUMN=FIELD was expected"),
    ("Nothere=email", 'no column "Nothere" in (standard input), which has: kontakt, vorname'),
    ("Vorname=frist_name", 'no field "frist_name" to read column "Vorname" as; first_name?'),
    ("Vorname=First Name", '"First Name", as which column "Vorname" is to be read, is no field\'s name: '
                           "letters, digits and _ were expected, such as first_name"),
    ("Vorname=!", '"!", as which column "Vorname" is to be read, is no field\'s name')])
def test_a_wrong_map_names_its_column_and_its_field(coldmail, wrong, said):
    done = run(coldmail, "leads", "import", "-", "--map", "Kontakt=email", "--map", wrong,
               data="Kontakt,Vorname\na@x.example,Ann\n")
    assert done.returncode == 64 and not done.stdout and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"coldmailctl: --map {wrong}: {said}"), done.stderr


def test_two_columns_are_not_one_field(coldmail):
    done = run(coldmail, "leads", "import", "-", "--map", "Mail=email", data="Mail,Email\na@x.example,\n")
    assert done.returncode == 64
    assert ':1: columns "mail" and "email" would both be email' in done.stderr


def test_an_import_into_no_campaign_says_that_nobody_hears_of_it(coldmail):
    done = run(coldmail, "leads", "import", "-", data="email\na@x.example\n")
    assert "1 added" in done.stdout and "1 lead has no campaign" in done.stdout
    assert "no campaign" not in run(coldmail, "leads", "import", "-", "--campaign", "founders",
                                    data="email\na@x.example\n").stdout


def test_twenty_problems_are_shown_and_the_rest_is_counted(coldmail):
    data = "email\n" + "bad\n" * 35
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", data=data)
    assert done.stdout.count("invalid: field email") == 20 and "and 15 more such lines" in done.stdout
    done = run(coldmail, "--verbose", "leads", "import", "-", data=data)
    assert done.stdout.count("invalid: field email") == 35 and "more such" not in done.stdout


def on_terminal(coldmail, *arguments, until, then=b""):
    """Runs coldmailctl on a terminal; types THEN once it has shown UNTIL. (status, all it showed)"""
    pid, fd = pty.fork()
    if not pid:
        os.execv(coldmail.ctl_program, ["coldmailctl", "-c", str(coldmail.conf), *arguments])
    shown, typed, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        try:
            part = os.read(fd, 4096)
        except OSError:
            break
        shown += part
        if not typed and until.encode() in shown:
            os.write(fd, then)
            typed = True
        if not part:
            break
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


def test_a_reload_on_a_terminal_asks_about_a_name_that_is_gone(coldmail, server):
    coldmail.start()
    before = coldmail.ctl("campaigns")[0]["name"]
    coldmail.configure(mailbox(ALI, server.port), campaign("other"))
    status, shown = on_terminal(coldmail, "reload", until="[y/N]", then=b"n\n")
    assert status == 1 and f'campaign "{before}" is gone' in shown and "Nothing was done" in shown
    assert coldmail.ctl("campaigns")[0]["name"] == before
    status, shown = on_terminal(coldmail, "reload", until="[y/N]", then=b"y\n")
    assert status == 0 and "+ campaign other" in shown
    assert coldmail.ctl("campaigns")[0]["name"] == "other"
    coldmail.configure(mailbox(ALI, server.port), campaign(before))
    done = run(coldmail, "reload")
    assert done.returncode == 0 and done.stdout.startswith('? campaign "other" is gone')


def test_an_import_on_a_terminal_shows_how_far_it_is_and_can_be_interrupted(coldmail):
    file = coldmail.folder / "big.csv"
    file.write_text("email\n" + "".join(f"p{i}@x.example\n" for i in range(40000)))
    status, shown = on_terminal(coldmail, "leads", "import", str(file), "--campaign", "founders",
                                until="%", then=b"\x03")
    assert status == 1 and "Not finished: what is counted above is stored" in shown, shown[-500:]
    added = int(re.search(r"(\d+) added", shown)[1])
    assert 0 < added < 40000
    answer = coldmail.ctl("leads", "import", str(file), "--campaign", "founders")
    assert answer["added"] == 40000 - added and answer["duplicate"] == added
    assert coldmail.ctl("audit")["findings"] == []


# ---- leads ------------------------------------------------------------------------------------------

def test_an_export_can_be_imported_elsewhere(coldmail, tmp_path, server):
    rows = [{"email": f"p{i}@x.example", "first_name": "Zoë", "state": "TX", "notes": 'a, "b"\nc'}
            for i in range(1203)]
    coldmail.import_leads(rows, options=["--map", "state=state"])
    done = run(coldmail, "leads", "export")
    exported = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert len(exported) == 1203 and len({r["email"] for r in exported}) == 1203
    assert all(r["notes"] == 'a, "b"\nc' and r["extra_state"] == "TX" and r["state"] == "queued"
               and r["first_name"] == "Zoë" for r in exported)
    with Coldmail(tmp_path / "other", mailbox(ALI, server.port), campaign()) as other:
        again = run(other, "leads", "import", "-", data=done.stdout)
        assert "1203 added" in again.stdout and "is an export" in again.stderr, again
        lead = other.ctl("leads", "show", rows[0]["email"])["lead"]
        assert lead["extra"] == {"state": "TX", "notes": 'a, "b"\nc'}, "nothing of where it stood"
    leads = coldmail.ctl("leads", "export")
    assert len(leads) == 1203 and leads[0]["extra"]["state"] == "TX"


def test_leads_have_their_stored_fields_and_where_they_stand(coldmail):
    coldmail.import_leads([{"email": "a@x.example", "company": "Acme", "hobby": "chess"}])
    (lead,) = coldmail.ctl("leads", "list", "--campaign", "founders", "--state", "queued")
    assert {"email", "campaign", "company", "state", "reason", "until", "status"} <= set(lead)
    assert lead["extra"] == {"hobby": "chess"} and lead["until"] is None
    assert coldmail.ctl("leads", "list", "--reason", "missing_field") == []
    done = coldmail.ctl("leads", "list", "--state", "happy", status=None)
    assert done.returncode == 64 and "queued, held, in_flight or ended was expected" in done.stderr
    done = coldmail.ctl("leads", "list", "--reason", "hungry", status=None)
    assert done.returncode == 64 and '"hungry" is not a reason; there are: operator, missing_field, ' in done.stderr


@pytest.mark.parametrize("because, reason, status, suppressed", [
    (None, "stopped", "failed", False), ("replied", "lead_replied", "failed", False),
    ("opted-out", "opted_out", "failed", True), ("bounced", "bounced", "invalid", True)])
def test_a_lead_is_stopped_for_a_reason(coldmail, because, reason, status, suppressed):
    coldmail.import_leads(["a@x.example"])
    why = ["--because", because] if because else []
    dry = coldmail.ctl("--dry-run", "leads", "stop", "A@x.example", *why)
    assert dry["in_transmission"] == [] and coldmail.lead("a@x.example")["state"] == "queued"
    answer = coldmail.ctl("leads", "stop", "A@x.example", *why)
    assert (answer["lead"]["state"], answer["lead"]["reason"]) == ("ended", reason)
    assert answer["lead"]["status"] == status
    assert coldmail.ctl("suppress", "check", "a@x.example",
                        status=0 if suppressed else 1)["suppressed"] == suppressed
    assert coldmail.ctl("leads", "stop", "b@x.example", status=None).returncode == 1
    assert coldmail.ctl("leads", "stop", "a@x.example", "--because", "x", status=None).returncode == 64


def test_who_is_no_lead_can_opt_out(coldmail):
    stop = ["leads", "stop", "A@x.example", "--because"]
    done = coldmail.ctl(*stop, "bounced", status=None)
    assert done.returncode == 1 and "coldmailctl suppress add a@x.example" in done.stderr
    assert coldmail.ctl("--dry-run", *stop, "opted-out")["suppressed"]
    assert not coldmail.ctl("suppress", "check", "a@x.example", status=1)["suppressed"]
    done = run(coldmail, *stop, "opted-out")
    assert done.returncode == 0 and done.stdout.startswith("a@x.example: not a lead\n")
    (by,) = coldmail.ctl("suppress", "check", "a@x.example")["by"]
    assert (by["pattern"], by["reason"]) == ("a@x.example", "opted_out")


@pytest.mark.parametrize("pattern, forbid", [
    ("a@x.example", ["leads", "stop", "a@x.example", "--because", "opted-out"]),
    ("*@x.example", ["suppress", "add", "*@x.example"])])
def test_who_is_suppressed_is_not_released(coldmail, pattern, forbid):
    coldmail.import_leads(["a@x.example"])
    coldmail.ctl("leads", "stop", "a@x.example")
    coldmail.ctl(*forbid)
    before = coldmail.lead("a@x.example")
    done = coldmail.ctl("leads", "release", "a@x.example", status=None)
    assert done.returncode == 1 and f"coldmailctl suppress remove {pattern} --reason" in done.stderr
    assert coldmail.lead("a@x.example") == before
    coldmail.ctl("suppress", "remove", pattern, "--reason", "asked to be written to")
    assert coldmail.ctl("leads", "release", "a@x.example")["lead"]["state"] == "queued"


def test_nothing_from_a_record_moves_the_cursor(coldmail):
    coldmail.import_leads([{"email": "a@x.example", "company": "\x1b[2JEvil\x07", "no\x1b[1mte": "x"}])
    for command in (["leads", "list"], ["leads", "show", "a@x.example", "--all"], ["campaigns"]):
        out = run(coldmail, *command).stdout
        assert "\x1b" not in out and "\x07" not in out, out


# ---- suppressions ------------------------------------------------------------------------------------

def test_suppressions_go_in_and_out(coldmail):
    file = coldmail.folder / "list.csv"
    file.write_text("pattern,since\n# a comment\n\nA@X.example,2020\n*@y.example\nz.example\nnot a pattern\n")
    answer = coldmail.ctl("suppress", "import", str(file), "--reason", "old list", status=1)
    assert (answer["added"], answer["known"]) == (3, 0)
    (problem,) = answer["problems"]
    assert problem["line"] == 7 and problem["pattern"] == "not a pattern"
    rows = run(coldmail, "suppress", "export").stdout.splitlines()
    assert [row.split(",")[0] for row in rows] == ["pattern", "*@y.example", "a@x.example", "z.example"]
    checked = coldmail.ctl("suppress", "check", "who@sub.z.example")
    assert [s["pattern"] for s in checked["by"]] == ["z.example"]
    assert checked["by"][0]["reason"] == "old list" and checked["by"][0]["source"] == str(file)
    assert coldmail.ctl("suppress", "check", "who@sub.y.example", status=1)["suppressed"] is False
    assert coldmail.ctl("suppress", "remove", "Z.example", "--reason", "a mistake")["removed"] == 1
    assert coldmail.ctl("suppress", "remove", "z.example", "--reason", "x", status=None).returncode == 1
    assert coldmail.ctl("--dry-run", "suppress", "add", "new.example")["added"] == 1
    assert len(coldmail.ctl("suppress", "list")) == 2


def test_a_long_list_of_suppressions(coldmail):
    file = coldmail.folder / "list"
    file.write_text("".join(f"p{i}@x.example\n" for i in range(1201)))
    assert coldmail.ctl("suppress", "import", str(file))["added"] == 1201
    assert coldmail.ctl("suppress", "import", str(file))["known"] == 1201
    assert len(coldmail.ctl("suppress", "list")) == 1201


# ---- campaigns and what was sent -----------------------------------------------------------------------

def test_a_start_shows_mails_and_asks(tmp_path, server):
    with Coldmail(tmp_path / "c", mailbox(ALI, server.port), campaign(start="manual")) as coldmail:
        coldmail.import_leads([{"email": "a@x.example", "first_name": "Ann"}, "b@x.example"])
        assert "coldmail is not running" in run(coldmail, "--dry-run", "start", "founders").stdout
        coldmail.start()
        assert "not running" not in run(coldmail, "--dry-run", "start", "founders").stdout
        done = run(coldmail, "start", "founders", data="y")
        assert done.returncode == 64 and "--yes was expected" in done.stderr
        status, shown = on_terminal(coldmail, "start", "founders", until="[y/N]", then=b"n\r")
        assert status == 1 and "Nothing was done" in shown and "---- to a@x.example ----" in shown
        assert "Subject: intro for Ann" in shown and "2 leads wait; about" in shown
        assert coldmail.ctl("--dry-run", "start", "founders") == {"campaign": "founders", "already": False}
        assert not server.mails()
        status, shown = on_terminal(coldmail, "start", "founders", until="[y/N]", then=b"y\r")
        assert status == 0 and "founders is started" in shown
        coldmail.wait_sent(2)
        assert coldmail.ctl("start", "founders")["already"] is True
        done = run(coldmail, "start", "founders")
        assert done.returncode == 0 and done.stdout == "founders has been started before.\n"
        assert coldmail.ctl("start", "nowhere", status=None).returncode == 1


@pytest.mark.parametrize("limit, hours", [(50, 2), (2, 24)])
def test_a_finish_counts_the_gaps_of_a_day_and_its_limit(tmp_path, server, limit, hours):
    with Coldmail(tmp_path / "c", mailbox(ALI, server.port, gap="1h", daily_limit=limit),
                  campaign(start="manual")) as coldmail:
        coldmail.import_leads(["a@x.example", "b@x.example", "c@x.example"])
        coldmail.start()
        (founders,) = coldmail.ctl("campaigns")
        first, last = (datetime.datetime.fromisoformat(founders[key].replace("Z", "+00:00"))
                       for key in ("next_mail", "finish"))
        assert last - first == datetime.timedelta(hours=hours)
        now = datetime.datetime.now(datetime.timezone.utc)
        assert abs(first - now) < datetime.timedelta(minutes=1)


def test_a_preview_is_what_goes_out(coldmail, server):
    coldmail.import_leads([{"email": "a@x.example", "first_name": "Ann"}])
    preview = coldmail.ctl("preview", "founders", "--lead", "A@x.example", "--step", "intro")
    assert (preview["step"], preview["address"], preview["subject"]) == (
        "intro", "a@x.example", "intro for Ann")
    assert coldmail.run_until_idle()[0] == 0
    without_date = [re.sub(rb"^Date: .*\r\n", b"", mail, flags=re.M)
                    for mail in (preview["bytes"].encode(), server.data(server.mails()[0]))]
    assert without_date[0] == without_date[1]
    for wrong in (["nowhere"], ["founders", "--lead", "b@x.example"], ["founders", "--step", "x"]):
        assert coldmail.ctl("preview", *wrong, status=None).returncode == 1


def test_sends_have_the_keys_of_the_log_line_and_id(coldmail):
    coldmail.import_leads(addresses(45))
    coldmail.run_until_idle()
    sends = coldmail.ctl("sends", "--last", "1000")
    (logged, *_) = coldmail.events("send")
    assert len(sends) == 45 and set(logged) - {"ts", "level", "event"} <= set(sends[0])
    by_id = {s["message_id"]: s for s in sends}
    for event in coldmail.events("send"):
        same = by_id[event["message_id"]]
        for key in ("lead", "campaign", "step", "attempt", "mailbox", "to", "outcome", "code", "reply"):
            assert same[key] == event[key]
    assert len({s["id"] for s in sends}) == 45 and all(s["id"].endswith("#1") for s in sends)
    assert [s["at"] for s in sends] == sorted((s["at"] for s in sends), reverse=True)
    assert len(coldmail.ctl("sends")) == 20 and len(coldmail.ctl("sends", "--last", "3")) == 3
    assert coldmail.ctl("sends", "--outcome", "uncertain") == []
    assert coldmail.ctl("sends", "--outcome", "lost", status=None).returncode == 64


@pytest.mark.parametrize("words, said", [
    (["leads", "list", "--campaign", "nosuch"], 'no campaign "nosuch" in {conf}; there are: founders'),
    (["leads", "export", "--campaign", "nosuch"], 'no campaign "nosuch" in {conf}; there are: founders'),
    (["sends", "--campaign", "nosuch"], 'no campaign "nosuch" in {conf}; there are: founders'),
    (["sends", "--mailbox", "nosuch"], f'no mailbox "nosuch" in {{conf}}; there are: {ALI}'),
    (["sends", "--mailbox", "Bea@send.example"],
     f'no mailbox "bea@send.example" in {{conf}}; there are: {ALI}'),
    (["pause", "mailbox", "nosuch"], f'no mailbox "nosuch" in {{conf}}; there are: {ALI}'),
    (["pause", "campaign", "nosuch"], 'no campaign "nosuch" in {conf}; there are: founders'),
    (["preview", "nosuch"], 'no campaign "nosuch" in {conf}; there are: founders')])
def test_a_name_that_there_is_not_is_no_empty_answer(coldmail, words, said):
    coldmail.import_leads(["a@x.example"])
    for form in ([], ["--json"]):
        done = run(coldmail, *form, *words)
        assert done.returncode == 1 and done.stderr == f"coldmailctl: {said.format(conf=coldmail.conf)}\n"
    assert json.loads(done.stdout)["exit"] == 1


def test_an_empty_answer_about_what_there_is_or_was_is_one(coldmail, server):
    coldmail.import_leads(["a@x.example"])
    assert coldmail.ctl("leads", "list", "--campaign", "founders", "--state", "held") == []
    assert coldmail.ctl("sends", "--campaign", "founders", "--mailbox", ALI.upper()) == []
    coldmail.run_until_idle()
    assert len(coldmail.ctl("sends", "--mailbox", ALI.upper())) == 1
    assert coldmail.ctl("pause", "mailbox", ALI.title())["name"] == ALI
    coldmail.configure(mailbox("new@send.example", server.port), campaign("other", ["new@send.example"]))
    assert len(coldmail.ctl("leads", "list", "--campaign", "founders")) == 1
    assert coldmail.ctl("leads", "list", "--campaign", "founders", "--state", "held") == []
    assert len(coldmail.ctl("sends", "--mailbox", ALI)) == 1


def test_an_uncertain_send_is_listed_and_settled(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on dot do accept then rst"]) as server, \
            Coldmail(tmp_path / "c", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(["a@x.example"])
        coldmail.run_until_idle()
        (uncertain,) = coldmail.ctl("sends", "--outcome", "uncertain")
        listed = run(coldmail, "sends", "--outcome", "uncertain").stdout
        assert uncertain["id"] in listed and uncertain["message_id"] in listed and ALI in listed
        assert "coldmailctl resolve ID --sent, or --not-sent" in listed
        assert coldmail.ctl("--dry-run", "resolve", uncertain["id"], "--sent")
        assert len(coldmail.ctl("sends", "--outcome", "uncertain")) == 1
        assert coldmail.ctl("resolve", uncertain["id"], "--sent")["outcome"] == "sent"
        assert coldmail.ctl("sends", "--outcome", "uncertain") == []
        done = coldmail.ctl("resolve", uncertain["id"], "--sent", status=None)
        assert done.returncode == 1 and f"{uncertain['id']}: it is not uncertain" in done.stderr
        done = coldmail.ctl("resolve", "a/b/c#1", "--sent", status=None)
        assert done.returncode == 1 and "a/b/c#1: there is no such attempt" in done.stderr
        assert coldmail.ctl("resolve", "nonsense", "--sent", status=None).returncode == 64
        assert coldmail.ctl("audit")["findings"] == []


def test_an_audit_says_no_and_repairs(coldmail):
    coldmail.import_leads(addresses(3))
    coldmail.run_until_idle()
    with coldmail.database(write=True) as db:
        db.execute("UPDATE leads SET n_sent = 7, status = 'pending' WHERE email = 'lead1@take.example'")
    assert coldmail.ctl("audit", status=1)["fixed"] == 0
    assert coldmail.ctl("--dry-run", "audit", "--fix", status=1)["fixed"] == 0
    done = run(coldmail, "audit", "--fix")
    assert done.returncode == 0 and "repaired" in done.stdout
    assert run(coldmail, "audit").stdout == "checked 3 leads, 3 mails, 3 attempts: they agree\n"


def test_one_is_one_and_no_line_ends_in_spaces(coldmail):
    coldmail.import_leads(["a@x.example"])
    assert run(coldmail, "audit").stdout == "checked 1 lead, 0 mails, 0 attempts: they agree\n"
    with coldmail.database(write=True) as db:
        db.execute("UPDATE leads SET n_sent = 7")
    assert "1 difference, 1 repaired\n" in run(coldmail, "audit", "--fix").stdout
    for words in (["leads", "list"], ["campaigns"]):
        assert not re.search(r" $", run(coldmail, *words).stdout, re.M)


def test_what_a_server_said_stands_apart_from_what_came_of_it(tmp_path):
    rules = ["on rcpt to *@later.example do reply 451 4.7.1 Greylisted"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server, \
            Coldmail(tmp_path / "c", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(["a@later.example", "b@x.example"])
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE state IN ('sent', 'refused')", 2)
        shown = run(coldmail, "sends").stdout
        said = "greylisted (greylist): 451 4.7.1 Greylisted"
        assert f"  {ALI}  refused  {said}\n" in shown, shown
        shown = run(coldmail, "leads", "show", "a@later.example", "--all").stdout
        assert f"intro by {ALI}: refused: {said}\n" in shown
        assert re.search(r"^  until +\S.*, in \d", shown, re.M) and "  due " not in shown
        (founders,) = coldmail.ctl("campaigns")
        assert founders["next_mail"] == founders["next_wake"], "what was put off comes again"


def test_a_no_names_whom_it_is_about(coldmail):
    coldmail.import_leads(["a@x.example"])
    coldmail.ctl("pause", "all")
    coldmail.start()
    for words, said in ((["leads", "hold", "b@x.example"], "b@x.example is no lead"),
                        (["why", "nosuch"], "nosuch: nothing of that name is known"),
                        (["leads", "show", "b@x.example"], "b@x.example: nothing is known of this address"),
                        (["preview", "founders", "--lead", "a@x.example", "--step", "x"],
                         "founders: the campaign has no such step")):
        done = run(coldmail, *words)
        assert done.returncode == 1 and done.stderr == f"coldmailctl: {said}\n"
    assert run(coldmail, "--dry-run", "leads", "hold", "a@x.example").stdout == \
        "a@x.example: would be held (operator)\n"


def test_a_backup_is_whole_and_never_overwrites(coldmail):
    coldmail.import_leads(addresses(3))
    done = subprocess.run([coldmail.ctl_program, "-c", coldmail.conf, "backup", "copy.db"], text=True,
                          cwd=coldmail.folder, capture_output=True, timeout=60)
    copy = coldmail.folder / "copy.db"
    assert done.returncode == 0 and oct(copy.stat().st_mode & 0o777) == "0o600", done
    done = coldmail.ctl("backup", str(copy), status=None)
    assert done.returncode == 1 and str(copy) in done.stderr
    shutil.copy(copy, coldmail.store)
    assert len(coldmail.ctl("leads", "list")) == 3


OWN_FILES = ["", "-journal", "-wal", "-shm", ".lock", ".seal", ".seal.tmp", ".restore"]


@pytest.mark.parametrize("running", [True, False])
def test_a_backup_takes_the_place_of_nothing_that_the_store_lives_on(tmp_path, running):
    """By whatever way it is named: links to the directory, to the file, and the file by another path."""
    with Coldmail(tmp_path / "run", mailbox(ALI, 1), campaign()) as coldmail:
        real, linked = tmp_path / "real", tmp_path / "linked"
        real.mkdir()
        linked.symlink_to(real)
        (tmp_path / "aside").mkdir()
        (tmp_path / "aside" / "store.db").symlink_to(real / "store.db")
        coldmail.store = real / "store.db"
        coldmail.configure(mailbox(ALI, 1), campaign())
        coldmail.import_leads(addresses(3))
        if running:
            coldmail.start()
        before = sorted(p.name for p in real.iterdir())
        names = [*(f"store.db{suffix}" for suffix in OWN_FILES), "machine-id", "oauth.ali@send.example"]
        for folder in (real, linked, real / ".." / "real"):
            for name in names:
                for more in ([], ["--dry-run"]):
                    done = coldmail.ctl("backup", f"{folder}/{name}", *more, status=None)
                    assert done.returncode == 1, (name, done)
                    assert f"{folder}/{name}: this is " in done.stderr
                    assert "choose another name" in done.stderr
        if running:
            for suffix in ("", "-wal", ".lock"):
                link = tmp_path / f"link{suffix}"
                os.link(f"{coldmail.store}{suffix}", link)
                (tmp_path / f"symlink{suffix}").symlink_to(f"{coldmail.store}{suffix}")
                for path in (link, tmp_path / f"symlink{suffix}"):
                    done = coldmail.ctl("backup", str(path), status=None)
                    assert done.returncode == 1 and ": this is " in done.stderr
        assert not running or sorted(p.name for p in real.iterdir()) == before
        # The store by the name of a link: SQLite's files are where the link leads.
        if not running:
            coldmail.store = tmp_path / "aside" / "store.db"
            coldmail.configure(mailbox(ALI, 1), campaign())
            done = coldmail.ctl("backup", f"{real}/store.db-journal", status=None)
            assert done.returncode == 1 and "this is SQLite's journal" in done.stderr
        assert coldmail.ctl("backup", f"{real}/store.db-backup")["bytes"] > 0
        assert len(coldmail.ctl("leads", "list")) == 3


def test_a_backup_in_the_making_is_not_the_store_either(tmp_path):
    """A copy of STORE that is called STORE.tmp until it is whole."""
    with Coldmail(tmp_path / "run", mailbox(ALI, 1), campaign()) as coldmail:
        coldmail.store = coldmail.folder / "store.tmp"
        coldmail.configure(mailbox(ALI, 1), campaign())
        coldmail.import_leads(addresses(3))
        coldmail.start()
        done = coldmail.ctl("backup", str(coldmail.folder / "store"), status=None)
        assert done.returncode == 1 and "this is the store itself: choose another name" in done.stderr
        assert coldmail.stop() == 0
        assert coldmail.count("SELECT count(*) FROM leads") == 3


# ---- status and why --------------------------------------------------------------------------------------

def test_status_has_the_shape_of_health(coldmail, server):
    coldmail.import_leads([*addresses(2), {"email": "held@x.example"}])
    coldmail.ctl("leads", "hold", "held@x.example")
    coldmail.start()
    coldmail.wait_sent(2)
    status = coldmail.ctl("status")
    assert {"status", "reasons", "scheduler", "last_sent_at", "sent_today", "held", "quota", "breakers",
            "mailboxes", "uncertain", "store", "version", "uptime_s"} <= set(status)
    assert {"running", "last_tick", "next_due"} <= set(status["scheduler"])
    assert {"kind", "ok", "spool"} <= set(status["store"])
    assert status["status"] == "healthy" and status["sent_today"] == 2
    assert status["held"] == {"operator": 1} and status["uncertain"] == 0
    shown = run(coldmail, "status").stdout
    assert "healthy" in shown and "founders" in shown and ALI in shown and "1 operator" in shown
    (one,) = coldmail.ctl("campaigns")
    assert one["leads"] == {"total": 3, "queued": 0, "held": 1, "in_flight": 0, "ended": 2}


def test_status_says_no_when_nothing_can_be_sent(tmp_path):
    with FakeSmtp(tmp_path / "smtp", rules=["on connect do reply 421 busy"]) as server, \
            Coldmail(tmp_path / "c", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        wait_until(lambda: coldmail.ctl("status", status=None).returncode == 1, what="unhealthy")
        status = coldmail.ctl("status", status=1)
        assert status["status"] == "unhealthy" and any(ALI in r for r in status["reasons"])
        (binds,) = [r for r in coldmail.ctl("why") if r["binds"]]
        assert binds["reason"] == "mailbox_throttled" and binds["until"]
        shown = run(coldmail, "why")
        assert shown.returncode == 0 and re.search(r"^> .*mailbox_throttled.* in \d+", shown.stdout, re.M)


def test_status_can_be_watched(coldmail):
    coldmail.start()
    watch = subprocess.Popen([coldmail.ctl_program, "-c", coldmail.conf, "status", "--watch"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        seen = [watch.stdout.readline() for _ in range(2)]
        time.sleep(2.5)
        coldmail.stop()
        out, err = watch.communicate(timeout=20)
    finally:
        watch.kill()
    assert (seen[0] + out).count("healthy") >= 2 and watch.returncode == 69 and "not running" in err


def test_versions(coldmail):
    answer = coldmail.ctl("version")
    assert answer["version"] == answer["coldmailctl"] and answer["store"]["open"]


# ---- the socket bears anything ------------------------------------------------------------------------------

def post(coldmail, path, body, method="POST"):
    control = coldmail.control()
    control.request(method, path, body)
    response = control.getresponse()
    return response.status, json.loads(response.read())


def test_whoever_stops_in_the_middle_of_a_request_keeps_nobody_out(tmp_path):
    """An opt-out has to get through."""
    with Coldmail(tmp_path) as coldmail:
        coldmail.start()
        with contextlib.ExitStack() as held:
            for _ in range(70):
                half = held.enter_context(socket.socket(socket.AF_UNIX))
                half.connect(str(coldmail.socket))
                half.sendall(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
            coldmail.ctl("suppress", "add", "a@b.example")


def test_a_burst_of_connections_that_end_at_once_keeps_nobody_out_for_good(tmp_path):
    with Coldmail(tmp_path) as coldmail:
        coldmail.start()
        for _ in range(3):
            held = []
            for _ in range(300):
                half = socket.socket(socket.AF_UNIX)
                half.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    half.connect(str(coldmail.socket))
                    half.send(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
                held.append(half)
            time.sleep(0.3)
            for half in held:
                half.close()
        coldmail.ctl("suppress", "add", "a@b.example")


def test_a_command_waits_for_the_store_of_a_daemon_that_just_started(tmp_path):
    with Coldmail(tmp_path, mailbox(ALI, 1), campaign(start="manual")) as coldmail:
        coldmail.import_leads(addresses(1))
        with coldmail.database(write=True) as db:  # nobody else can even read it
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("DELETE FROM controls")
            coldmail.spawn()
            wait_until(coldmail.socket.exists, what="the control socket")
            asking = subprocess.Popen(
                [coldmail.ctl_program, "-c", coldmail.conf, "--json", "leads", "list"],
                stdout=subprocess.PIPE,
            )
            time.sleep(0.5)
            assert asking.poll() is None, "it did not wait"
        assert len(json.loads(asking.communicate(timeout=20)[0])) == 1 and not asking.returncode


@pytest.mark.parametrize("path, body, status, said", [
    ("/v1/nowhere", "{}", 404, "no such command; there are, below /v1/: version status"),
    ("/", "{}", 404, "no such command"),
    ("/v1/sends", "{", 400, "not one JSON object"),
    ("/v1/sends", "[]", 400, "not one JSON object"),
    ("/v1/sends", "{} {}", 400, "not one JSON object"),
    ("/v1/sends", "[" * 100000, 400, "not one JSON object"),
    ("/v1/sends", b'{"campaign":"\xff"}', 400, "not UTF-8"),
    ("/v1/sends", '{"max":"many"}', 400, "field max: a whole number, not negative, was expected"),
    ("/v1/sends", '{"max":-1}', 400, "field max: a whole number"),
    ("/v1/sends", '{"max":1e300}', 400, "field max: a whole number"),
    ("/v1/sends", '{"lats":1}', 400, 'sends: unknown field "lats"'),
    ("/v1/sends", '{"dry_run":true}', 400, 'sends: unknown field "dry_run"'),
    ("/v1/leads/show", "{}", 400, "field address is missing: text"),
    ("/v1/leads/show", '{"address":7}', 400, "field address: text"),
    ("/v1/leads/show", json.dumps({"address": "a" * 5000}), 400, "at most 4096 bytes"),
    ("/v1/leads/show", '{"address":"nobody"}', 400, "nobody: "),
    ("/v1/leads/import", json.dumps({"rows": [{}] * 501}), 400, "at most 500"),
    ("/v1/backup", '{"path":"relative"}', 400, "an absolute path was expected"),
    ("/v1/pause", '{"what":"nothing"}', 400, "all, clock, campaign NAME or mailbox ADDRESS was expected"),
])
def test_a_bad_request_gets_one_clear_answer(running, path, body, status, said):
    got, answer = post(running, path, body)
    assert got == status and said in answer["error"] and answer["exit"] == 64, answer


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("running")
    with FakeSmtp(folder / "smtp") as server, \
            Coldmail(folder / "c", mailbox(ALI, server.port), campaign()) as coldmail:
        coldmail.start()
        yield coldmail
        assert coldmail.stop() == 0


def test_only_post_and_at_most_eight_megabytes(running):
    assert post(running, "/v1/version", None, "GET")[0] == 405
    assert post(running, "/v1/sends", " " * (9 << 20))[0] == 413
    assert post(running, "/v1/version", "")[0] == 200


def test_rows_of_any_kind_get_an_answer_each(running):
    rows = [None, 7, "x", [], {}, {"line": "2", "vars": {}}, {"line": -1, "vars": {"email": 7}},
            {"line": 4, "vars": {"email": ["a@b.co"]}}, {"line": 5, "vars": {"email": "a@b.co", "x": 1}},
            {"line": 6, "vars": {"email": "a@b.co", "": "x"}},
            {"line": 7, "vars": {"email": "a@b.co", "x": "y" * 70000}},
            {"line": 8, "vars": {"email": "a@b.co\r\nBcc: x@y.co"}},
            {"line": 9, "vars": {"email": "a@b.co", **{f"c{i}": "x" for i in range(600)}}}]
    status, answer = post(running, "/v1/leads/import", json.dumps({"rows": rows, "dry_run": True}))
    assert status == 200 and len(answer["rows"]) == len(rows)
    assert all(r["result"] == "invalid" and r["text"] for r in answer["rows"]), answer


def test_clients_that_go_away_or_dawdle_harm_nobody(running):
    raw = []
    for part in (b"", b"POST /v1/ver", b"POST /v1/sends HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
                 b"\x00\xff" * 50 + b"\r\n\r\n"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(running.socket))
        s.sendall(part)
        raw.append(s)
    for _ in range(30):  # ask, and do not wait for the answer
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(running.socket))
        s.sendall(b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        s.close()
    for _ in range(20):
        assert running.control().call("version")["version"]
    for s in raw:
        s.close()
    assert running.ctl("audit")["findings"] == []


def test_many_at_once_and_one_connection_many_times(running):
    several = [Control(running.socket) for _ in range(40)]
    for control in several:
        control.request("POST", "/v1/campaigns", "{}")
    for control in several:
        assert json.loads(control.getresponse().read())["campaigns"]
    one = running.control()
    started = time.monotonic()
    for _ in range(300):
        assert one.call("version")
    assert time.monotonic() - started < 5


def test_a_second_daemon_leaves_the_first_ones_socket_alone(running):
    done = subprocess.run([running.program, "-c", running.conf], capture_output=True, text=True, timeout=30)
    assert done.returncode == 75
    assert running.control().call("version")


def test_a_socket_left_by_a_dead_daemon_is_replaced(coldmail):
    coldmail.start()
    coldmail.kill()
    assert coldmail.socket.exists()
    coldmail.start()
    assert coldmail.ctl("version")
    assert coldmail.stop() == 0 and not coldmail.socket.exists()


def test_a_stop_in_the_middle_of_requests_answers_or_refuses_each(coldmail):
    """Whatever was answered is in the store; whatever was not, says that the daemon stopped."""
    coldmail.start()
    several = [Control(coldmail.socket) for _ in range(20)]
    for i, control in enumerate(several):
        rows = [{"line": k, "vars": {"email": f"p{k}@x{i}.example"}} for k in range(1, 501)]
        control.request("POST", "/v1/leads/import", json.dumps({"rows": rows, "campaign": "founders"}))
    coldmail.process.send_signal(signal.SIGTERM)
    added = 0
    for control in several:
        try:
            response = control.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException):
            continue  # it had not been taken in
        assert response.status in (200, 503), answer
        if response.status == 503:
            assert answer["exit"] == 69
        else:
            added += sum(row["result"] == "added" for row in answer["rows"])
    assert coldmail.wait() == 0
    assert coldmail.count("SELECT count(*) FROM leads") >= added
    assert coldmail.ctl("audit")["findings"] == []


def test_log_lines_that_nobody_read_are_counted(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path / "c", mailbox(ALI, server.port), campaign(), "log { level = debug }\n"
    ) as coldmail:
        coldmail.import_leads(addresses(60))
        nobody_reads, pipe = os.pipe()
        coldmail.spawn(stdout=pipe, stderr=pipe)
        coldmail.wait_sent(60)
        status = coldmail.status()
        assert status["log_dropped"] > 0
        assert "log lines that nobody read in time" in run(coldmail, "status").stdout
        assert coldmail.stop() == 0
        os.close(pipe)
        os.close(nobody_reads)
        coldmail.start()
        assert "log_dropped" not in coldmail.status()
