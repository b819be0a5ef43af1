"""The configuration language as a whole: the file that shows every key passes `coldmail --check`, its
keys and defaults are the schema's, and what is not built yet lets nothing out that should wait."""
import importlib.machinery
import importlib.util
import pathlib
import re
import subprocess

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from fake_smtp import FakeSmtp
from support import BUILD, REPOSITORY, wait_until

# The file that the language is designed by: every key, "#key" shows a default, "#e.g. key" has none.
DESIGN = REPOSITORY / "tests/fuzz/seeds/conf/design"
# Defaults that are not what a live line of the design shows: an example, or one that depends.
EXAMPLES = {
    ("", "store"), ("provider", "concurrency"), ("provider", "daily_budget_usd"), ("model", "tier"),
    ("mailbox", "name"), ("mailbox", "user"), ("mailbox", "password_file"), ("mailbox", "imap"),
    ("mailbox", "timezone"), ("campaign", "timezone"), ("campaign", "holidays"), ("campaign", "facts"),
    ("provider", "key_file"), ("alert", "url_file"), ("step", "brief"), ("step", "after"),
    ("step", "thread"),
}


def check_keys():
    loader = importlib.machinery.SourceFileLoader("check_keys", str(REPOSITORY / "scripts/check-keys"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_keys", loader))
    loader.exec_module(module)
    return module


def entries(text):
    """(section, key, value, is it a "#key" or a live one or an example) of each key of the design."""
    path = [""]
    _, _, text = text.partition("\n\n")  # explains the language
    for line in text.splitlines():
        kind = "default" if re.match(r"#\t*\w+ *(=|\{)", line) else "live"
        kind = "example" if line.startswith("#e.g. ") else kind
        if line.startswith("#") and kind == "live":
            continue
        line = re.sub(r"^#(e\.g\. )?", "", line)
        line = re.sub(r'("(?:[^"\\]|\\.)*")|#.*', lambda m: m[1] or "", line)
        for m in re.finditer(
            r'(\w+)(?: "(?:[^"\\]|\\.)*")?\s*(?:(\{)|=\s*(\{[^}]*\}|"(?:[^"\\]|\\.)*"|\S+))|(\})', line
        ):
            if m[4]:
                path.pop()
            elif m[2]:
                path.append(m[1])
            else:
                yield path[-1], m[1], m[3].strip('"'), kind
    assert path == [""]


def test_every_key_of_the_design_is_in_the_schema_with_its_default(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    keys, _ = check_keys().schema()
    shown = list(entries(DESIGN.read_text()))
    assert len({(s, k) for s, k, _, _ in shown}) >= 114
    problems = []
    for section, key, value, kind in shown:
        if (section, key) not in keys:
            problems.append(f"{section} {key}: not in the schema")
            continue
        default = (keys[section, key] or "").strip('"')
        is_default = kind == "default" or (
            kind == "live" and keys[section, key] and (section, key) not in EXAMPLES
        )
        if is_default and default != value:
            problems.append(f"{section} {key}: {value} in the design, {default} in the schema")
    assert not problems


def put_files(folder, text):
    """What TEXT names below /etc/coldmail, below FOLDER; TEXT for there."""
    for name in re.findall(r'"/etc/coldmail/([^"*]+)"', text):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("https://x.example/y" if "secrets" in name else "Subject: x\n\nHi.\n")
        file.chmod(0o600)
    return text.replace("/etc/coldmail/", f"{folder}/").replace("/var/lib/coldmail", str(folder))


def check(file):
    done = subprocess.run(
        [BUILD / "coldmail", "-c", file, "--check"], stdout=subprocess.PIPE, text=True, timeout=30
    )
    return done.returncode, done.stdout.splitlines()


def test_the_whole_design_passes_a_check_but_for_the_files_it_names(tmp_path):
    file = tmp_path / "coldmail.conf"
    text = DESIGN.read_text()
    file.write_text(put_files(tmp_path, text))
    status, lines = check(file)
    assert (status, lines[-1]) == (0, f"{file}: ok: 1 mailbox, 1 campaign")
    warnings = [re.fullmatch(r".*:(\d+): warning: (.*)", line).groups() for line in lines[:-1]]
    for line, warning in warnings:
        assert re.search(r"not built yet|not enforced yet", warning), warning
        name = re.search(r"'(\w+)'|^(\w+) = ", warning)
        assert re.search(rf"\b{name[1] or name[2]}\b", text.splitlines()[int(line) - 1]), warning
    assert [w for _, w in warnings if "replies = imap" in w and "inbox_stale" in w]

    for name in ("founders/1.tmpl", "founders/2.txt", "founders/facts.txt", "secrets/groq"):
        gone = tmp_path / name
        gone.rename(f"{gone}.gone")
        name_line = next(i for i, line in enumerate(text.splitlines(), 1) if name in line)
        status, lines = check(file)
        errors = [line for line in lines if ": warning: " not in line]
        assert status == 78 and len(errors) == 1
        assert errors[0].startswith(f"{file}:{name_line}: ") and "No such file" in errors[0]
        pathlib.Path(f"{gone}.gone").rename(gone)


def test_minimal_conf_starts_inert(tmp_path):
    status, lines = check(REPOSITORY / "config/minimal.conf")
    assert status == 0 and lines[-1].endswith(": ok: 0 mailboxes, 0 campaigns")


# ---- what is not built lets nothing out ----------------------------------------------------------


def reasons(coldmail, *subject):
    return {r["reason"]: r for r in coldmail.ctl("why", *subject)}


def test_with_replies_by_imap_every_step_behind_the_first_waits(tmp_path):
    steps = ("intro", "nudge")
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(steps=steps, replies="imap")
    ) as coldmail:
        coldmail.import_leads(addresses(3))
        coldmail.start()
        coldmail.wait_sent(3)
        wait_until(
            lambda: reasons(coldmail).get("inbox_stale", {}).get("binds"), what="why names the gate"
        )
        assert reasons(coldmail, addresses(3)[0])["inbox_stale"]["binds"]
        assert coldmail.ctl("campaigns")[0]["next_mail"] is None
        assert coldmail.stop() == 0
        assert coldmail.run_until_idle()[0] == 75  # a step is due and waits
        assert len(server.mails()) == 3

        coldmail.configure(mailbox(ALI, server.port), campaign(steps=steps, replies="manual"))
        assert coldmail.run_until_idle()[0] == 0 and len(server.mails()) == 6


def test_first_steps_go_on_beside_later_ones_that_wait(tmp_path):
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path,
        mailbox(ALI, server.port, gap="1h"),
        campaign(steps=("intro", "nudge"), replies="imap"),
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        coldmail.start()
        coldmail.wait_sent(1)
        why = reasons(coldmail)
        assert why["mailbox_gap"]["binds"] and not why["inbox_stale"]["binds"]


def test_a_campaign_that_a_model_should_write_waits_unless_it_falls_back(tmp_path):
    brief = tmp_path / "brief.txt"
    brief.write_text("Write.\n")
    section = campaign(writer="llm").replace(
        "template = ", f'brief = "{brief}"  template = '
    )
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), section.replace('template = "intro.tmpl"', "")
    ) as coldmail:
        coldmail.import_leads(addresses(2))
        assert coldmail.run_until_idle()[0] == 75
        coldmail.start()
        assert reasons(coldmail)["llm_none"]["binds"]
        assert "no template" in coldmail.ctl("preview", "founders", status=None).stderr
        assert not server.mails()
        coldmail.configure(
            mailbox(ALI, server.port), section.replace("writer = llm", "writer = llm fallback = template")
        )
        coldmail.ctl("reload")
        coldmail.wait_sent(2)


def test_a_reload_stops_later_steps(tmp_path):
    steps = ("intro", "nudge")
    with FakeSmtp(tmp_path / "smtp", rules=["on dot times 1 do delay 1500"]) as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(steps=steps)
    ) as coldmail:
        coldmail.import_leads(addresses(1))
        coldmail.start()
        coldmail.wait_for("SELECT count(*) FROM attempts WHERE slot = 1", 1)
        coldmail.configure(mailbox(ALI, server.port), campaign(steps=steps, replies="imap"))
        coldmail.ctl("reload")
        coldmail.wait_sent(1)
        wait_until(
            lambda: reasons(coldmail).get("inbox_stale", {}).get("binds"), what="why names the gate"
        )
        assert len(server.mails()) == 1
