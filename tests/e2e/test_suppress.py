"""The suppression list: what goes in, from whatever file, what is shown of it, how it comes out, and
that nothing takes an entry off but `suppress remove`."""
import csv
import stat

import pytest

from daemon import ALI, Coldmail, campaign, mailbox
from fake_smtp import FakeSmtp
from support import wait_until
from test_ctl import run


@pytest.fixture(name="coldmail")
def make_coldmail(tmp_path):
    return Coldmail(tmp_path, mailbox(ALI, 1), campaign())


def entries(coldmail):
    """{pattern: (reason, evidence, source, until)}"""
    return {
        e["pattern"]: (e["reason"], e["evidence"], e["source"], e["until"])
        for e in coldmail.ctl("suppress", "list")
    }


def suppress_file(coldmail, name, data, *options, status=0):
    file = coldmail.folder / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return coldmail.ctl("suppress", "import", str(file), *options, status=status)


def test_a_plain_list(coldmail):
    text = (
        "\ufeff# asked us\r\n a@x.example \r\n\r\nY.example\n*@Z.example\n"
        '"a,b"@q.example, with a note\nMünchen.example\nBob <bob@x.example>\n'
    )
    assert suppress_file(coldmail, "list", text, "--reason", "asked")["added"] == 6
    assert set(entries(coldmail)) == {
        "a@x.example", "y.example", "*@z.example", '"a,b"@q.example', "xn--mnchen-3ya.example",
        "bob@x.example"}
    source = str(coldmail.folder / "list")
    assert entries(coldmail)["a@x.example"] == ("asked", "", source, None)
    again = suppress_file(coldmail, "list", text)
    assert (again["added"], again["known"]) == (0, 6)
    assert entries(coldmail)["a@x.example"][0] == "asked"


def test_lines_that_are_no_patterns_are_named(coldmail):
    data = (b"a@x.example\nnot an address@\nK\xf6ln@x.example\n*.x.example\nc\0d@x.example\n"
            b"b@x.example\n")
    answer = suppress_file(coldmail, "list", data, status=1)
    assert answer["added"] == 2
    assert [p["line"] for p in answer["problems"]] == [2, 3, 4, 5]
    told = run(coldmail, "suppress", "import", str(coldmail.folder / "list")).stdout
    assert f"{coldmail.folder}/list:3: k\\xf6ln@x.example: not utf-8 text" in told.lower()
    assert f"{coldmail.folder}/list:4: *.x.example: write the domain alone" in told


def test_csv_of_other_people(coldmail):
    text = (
        'Name,"Email Address",Reason,created\n'
        '"Ada, L.",Ada@X.example,"said ""no""\nby post",1741000000\n'
        "Bob,bob@x.example\n"
        "Eve,,spam,\n"
        "Joe,joe@x.example,,2026-01-05T10:00:00Z\n"
    )
    answer = suppress_file(coldmail, "export.csv", text, "--reason", "old tool", status=1)
    assert answer["added"] == 2
    assert [p["line"] for p in answer["problems"]] == [4, 5]
    listed = entries(coldmail)
    assert listed["ada@x.example"][0] == 'said "no"\nby post'
    assert listed["joe@x.example"][0] == "old tool"
    since = {e["pattern"]: e["at"] for e in coldmail.ctl("suppress", "list")}
    assert since["joe@x.example"] == "2026-01-05T10:00:00Z"
    assert since["ada@x.example"] > since["joe@x.example"]


def test_a_dry_run_changes_nothing_and_says_the_same(coldmail):
    text = "a@x.example\nx@\nb.example\n"
    would = suppress_file(coldmail, "list", text, "--dry-run", status=1)
    assert not entries(coldmail)
    did = suppress_file(coldmail, "list", text, status=1)
    assert {k: would[k] for k in ("added", "known", "problems")} == {
        k: did[k] for k in ("added", "known", "problems")}


def test_an_export_is_imported_as_it_was(coldmail, tmp_path):
    coldmail.ctl("suppress", "add", "a@x.example", "--reason", 'said "no", twice',
                 "--evidence", "a letter,\nwith two lines")
    coldmail.ctl("suppress", "add", "b.example", "--until", "2099-03-31")
    coldmail.ctl("suppress", "add", "*@c.example", "person:" + "ab" * 16)
    file = tmp_path / "list.csv"
    assert run(coldmail, "suppress", "export", str(file)).returncode == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == run(coldmail, "suppress", "export").stdout
    with open(file, newline="", encoding="utf-8") as rows:
        assert [r["pattern"] for r in csv.DictReader(rows)] == sorted(entries(coldmail))
    other = Coldmail(tmp_path / "other", mailbox(ALI, 1), campaign())
    answer = other.ctl("suppress", "import", str(file))
    assert (answer["added"], answer["problems"]) == (4, [])
    assert other.ctl("suppress", "list") == coldmail.ctl("suppress", "list")
    over = run(coldmail, "suppress", "export", str(file))
    assert over.returncode == 1 and "File exists" in over.stderr


@pytest.mark.parametrize("until, told", [
    ("soon", "until: a time was expected, such as 2026-03-31"),
    ("2020-01-01", "it has ended"),
])
def test_an_end_that_is_none(coldmail, until, told):
    done = run(coldmail, "suppress", "add", "x.example", "--until", until)
    assert done.returncode == 1 and told in done.stdout
    assert not entries(coldmail)


def test_an_import_shortens_nothing(coldmail):
    coldmail.ctl("suppress", "add", "for-good.example", "--reason", "asked")
    coldmail.ctl("suppress", "add", "long.example", "--until", "2099-03-31")
    coldmail.ctl("suppress", "add", "short.example", "--until", "2098-03-31")
    text = ("pattern,reason,until\nfor-good.example,dead,2099-01-01\nlong.example,dead,2099-01-01\n"
            "short.example,asked,\n")
    answer = suppress_file(coldmail, "list.csv", text)
    assert (answer["added"], answer["known"]) == (1, 2)
    assert {p: e[3] for p, e in entries(coldmail).items()} == {
        "for-good.example": None, "long.example": "2099-03-31T00:00:00Z", "short.example": None}


def test_check_shows_what_was_said_and_which_entry_it_is(coldmail):
    coldmail.ctl("suppress", "add", "x.example", "--reason", "no business there",
                 "--evidence", "board of 4 March", "--until", "2099-03-31")
    done = run(coldmail, "suppress", "check", "Bob@Sub.X.example")
    assert done.returncode == 0
    for said in ("x.example", "no business there: board of 4 March", "operator", "2099-03-31"):
        assert said in done.stdout
    [by] = coldmail.ctl("suppress", "check", "bob@sub.x.example")["by"]
    assert (by["pattern"], by["evidence"]) == ("x.example", "board of 4 March")
    done = run(coldmail, "suppress", "remove", "bob@sub.x.example", "--reason", "x")
    assert done.returncode == 1 and "suppress check bob@sub.x.example" in done.stderr


def test_check_takes_what_add_takes(coldmail):
    person = "person:" + "ab" * 16
    coldmail.ctl("suppress", "add", "x.example", "--evidence", "board of 4 March")
    coldmail.ctl("suppress", "add", "*@Part.example", person)

    def by(pattern, status=0):
        answer = coldmail.ctl("suppress", "check", pattern, status=status)
        assert answer["suppressed"] == (status == 0)
        return [entry["pattern"] for entry in answer["by"]]

    for pattern in ("X.example", "a.b.x.example", "*@x.example", "*@b.x.example", "@x.example"):
        assert by(pattern) == ["x.example"]
    assert by("*@part.example") == by("@part.example") == ["*@part.example"]
    assert by(person.upper()) == [person]
    for pattern in ("box.example", "*@sub.part.example", "person:" + "ba" * 16):
        assert by(pattern, status=1) == []
    assert by("part.example", status=1) == ["*@part.example"]
    done = run(coldmail, "suppress", "check", "part.example")
    assert done.stdout.startswith("part.example is not suppressed, only a part of it:\n")
    assert "board of 4 March" in run(coldmail, "suppress", "check", "sub.x.example").stdout
    assert "write *@domain" in run(coldmail, "suppress", "add", "@x.example").stdout
    done = run(coldmail, "suppress", "check", "*.x.example")
    assert done.returncode == 64 and "it covers its subdomains" in done.stderr


def test_who_is_removed_by_address_is_removed_as_a_person_too(coldmail):
    coldmail.import_leads(["bob@x.example"])
    [person] = coldmail.rows("SELECT person FROM leads")[0]
    coldmail.ctl("suppress", "add", f"person:{person}")
    assert coldmail.ctl("suppress", "check", "Bob@X.example")["suppressed"]
    removed = coldmail.ctl("suppress", "remove", "Bob@X.example", "--reason", "asked to be back")
    assert removed["removed"] == 1
    assert not entries(coldmail)


def test_a_refused_recipient_is_there_with_what_the_server_said(tmp_path):
    rules = ["on rcpt do reply 550 5.1.1 <ada@take.example>: no such user here"]
    with FakeSmtp(tmp_path / "smtp", rules=rules) as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(["ada@take.example"])
        coldmail.run_until_idle()
        [by] = coldmail.ctl("suppress", "check", "ada@take.example")["by"]
        assert by["reason"] == "bounced" and by["evidence"].startswith("550 5.1.1 ")
        assert by["source"] == coldmail.rows("SELECT _id FROM attempts WHERE slot = 0")[0][0]


@pytest.mark.parametrize("until", ["0", "-1", "1.5", "'tomorrow'", "x'01'", "''"])
def test_an_end_that_is_no_time_ends_nothing(until, tmp_path):
    """Written by somebody else: what the list shows is in force."""
    with FakeSmtp(tmp_path / "smtp") as server:
        coldmail = Coldmail(tmp_path, mailbox(ALI, server.port), campaign())
        coldmail.import_leads(["a@x.example", "b@y.example"])
        coldmail.ctl("suppress", "add", "a@x.example", "x.example")
        with coldmail.database(write=True) as db:
            db.execute(f"UPDATE do_not_contact SET until = {until}")
            db.execute("UPDATE leads SET state = 'queued', reason = '', stage = 'draft'")
        assert {e[3] for e in entries(coldmail).values()} == {None}
        coldmail.ctl("suppress", "add", "x.example", "--until", "2099-01-01")
        assert entries(coldmail)["x.example"][3] is None
        coldmail.run_until_idle()
        assert [m.to for m in server.mails()] == [["b@y.example"]]


# as somebody's script wrote it: what it means
ODD = {
    "'A@UP.example'": "a@up.example",
    "' b@sp.example'": "b@sp.example",
    "CAST('c@blob.example' AS BLOB)": "c@blob.example",
    "'@dom.example'": "*@dom.example",
    "'*.under.example'": "under.example",
    "'Mailto:e@mailto.example'": "e@mailto.example",
    "'PERSON:00112233445566778899AABBCCDDEEFF'": "person:00112233445566778899aabbccddeeff",
}


def spoil_patterns(coldmail):
    with coldmail.database(write=True) as db:
        for odd in [*ODD, "'who knows'", "x'ff00'"]:
            db.execute(
                "INSERT INTO do_not_contact (pattern, reason, evidence, source)"
                f" VALUES ({odd}, 'opted_out', 'by telephone', 'a script')"
            )


def test_patterns_that_stop_no_mail_are_named_at_the_start_and_put_right_by_audit(tmp_path):
    people = ["a@up.example", "b@sp.example", "c@blob.example", "d@dom.example", "f@a.under.example"]
    with FakeSmtp(tmp_path / "smtp") as server, Coldmail(
        tmp_path, mailbox(ALI, server.port), campaign(start="manual")
    ) as coldmail:
        coldmail.import_leads([*people, "g@ok.example"])
        coldmail.ctl("suppress", "add", "b@sp.example", "--until", "2030-01-01")
        spoil_patterns(coldmail)
        coldmail.start()
        wait_until(lambda: len(coldmail.events("suppression_idle")) == len(ODD) + 2)
        told = {e["pattern"]: e["remedy"] for e in coldmail.events("suppression_idle")}
        assert "audit --fix" in told["A@UP.example"] and "a@up.example" in told["A@UP.example"]
        assert "lower(hex(pattern)) = 'ff00'" in told["\\xff\\x00"]
        assert "suppress add" in told["who knows"]
        assert len(coldmail.ctl("audit", status=1)["findings"]) == len(ODD) + 2
        answer = coldmail.ctl("audit", "--fix", status=1)
        assert answer["fixed"] == len(ODD)
        known = entries(coldmail)
        assert set(ODD.values()) <= set(known)
        assert {known[p][:3] for p in ODD.values()} == {("opted_out", "by telephone", "a script")}
        assert known["b@sp.example"][3] is None
        assert len(coldmail.ctl("audit", "--fix", status=1)["findings"]) == 2
        assert coldmail.count("SELECT count(*) FROM do_not_contact") == len(ODD) + 2
        coldmail.ctl("start", "founders")
        coldmail.wait_sent(1)
        assert coldmail.stop() == 0
        assert [m.to for m in server.mails()] == [["g@ok.example"]]


def test_an_audit_looks_at_every_pattern(coldmail):
    assert coldmail.ctl("audit")["findings"] == []
    with coldmail.database(write=True) as db:
        db.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
            " INSERT INTO do_not_contact (pattern) SELECT CAST(i || 'a@B.example' AS"
            " BLOB) FROM n UNION ALL SELECT 'X' || i || char(0) || '@c.example' FROM n"
        )
    assert len(coldmail.ctl("audit", status=1)["findings"]) == 600
    assert coldmail.ctl("audit", "--fix", status=1)["fixed"] == 300
    assert len(coldmail.ctl("audit", status=1)["findings"]) == 300
