"""Files of leads as other programs write them: their headings, their encodings, JSON, gzip; and what a
check says of them before anything is stored."""
import gzip
import json
import os
import random
import re
import signal
import subprocess
import time

import pytest

from daemon import ALI, Coldmail, addresses, campaign, mailbox
from support import wait_until
from test_ctl import coldmail, run, server  # noqa: F401 (fixtures)


def put(coldmail, data, name="leads.csv"):
    file = coldmail.folder / name
    file.write_bytes(data if isinstance(data, bytes) else data.encode())
    return file


def imported(coldmail, data, *options, status=0):
    """The answer of an import of DATA, bytes or text."""
    return coldmail.ctl("leads", "import", str(put(coldmail, data)), "--campaign", "founders", *options,
                        status=status)


def columns(answer):
    return {c["column"]: (c["field"], c["how"]) for c in answer["columns"]}


# ---- headings ---------------------------------------------------------------------------------------

# Headings as these programs write them, and what each of the interesting ones is read as.
TOOLS = {
    "apollo": ("First Name,Last Name,Title,Company,Company Name for Emails,Email,Email Status,"
               "Personal Email,Website,City,State,Country,Company City",
               {"First Name": "first_name", "Title": "title", "Company": "company", "Email": "email",
                "Company Name for Emails": "company_name_for_emails", "Email Status": "smtp_valid",
                "Personal Email": "personal_email", "State": "region", "City": "city",
                "Company City": "company_city", "Website": "website"}),
    "hubspot": ("Record ID,First Name,Last Name,Email,Job Title,Associated Company,Website URL,City,"
                "State/Region,Country/Region,Time Zone,Original Source",
                {"Record ID": "record_id", "Associated Company": "company", "Website URL": "website",
                 "State/Region": "region", "Country/Region": "country", "Time Zone": "timezone",
                 "Job Title": "title", "Original Source": "source"}),
    "linkedin": ("First Name,Last Name,URL,Email Address,Company,Position,Connected On",
                 {"Email Address": "email", "Position": "title", "URL": "url",
                  "Connected On": "connected_on"}),
    "salesforce": ("First Name,Last Name,Title,Account Name,Mailing City,Mailing State/Province,"
                   "Mailing Country,Email,Lead Source",
                   {"Account Name": "company", "Mailing City": "city",
                    "Mailing State/Province": "region", "Mailing Country": "country",
                    "Lead Source": "source"}),
    "hunter": ("Domain,Organization,Type,Confidence score,First name,Last name,Department,Position,"
               "Verification status,Email address",
               {"Domain": "domain", "Organization": "company", "Position": "title",
                "Verification status": "smtp_valid", "Email address": "email", "Type": "type"}),
    "lemlist": ("email,firstName,lastName,companyName,companyDomain,icebreaker",
                {"email": "email", "firstName": "first_name", "lastName": "last_name",
                 "companyName": "company", "companyDomain": "domain", "icebreaker": "icebreaker"}),
    "instantly": ("Email,First Name,Last Name,Company Name,Website,Verification Status",
                  {"Email": "email", "Company Name": "company", "Verification Status": "smtp_valid"}),
    "mailchimp": ("Email Address,FNAME,LNAME,Phone Number,MEMBER_RATING,TIMEZONE,REGION",
                  {"Email Address": "email", "FNAME": "first_name", "LNAME": "last_name",
                   "TIMEZONE": "timezone", "REGION": "region", "MEMBER_RATING": "member_rating"}),
    "google": ("First Name,Last Name,Organization Name,Organization Title,E-mail 1 - Label,"
               "E-mail 1 - Value,Website 1 - Value",
               {"E-mail 1 - Value": "email", "E-mail 1 - Label": "e_mail_1_label",
                "Organization Name": "company", "Organization Title": "title",
                "Website 1 - Value": "website"}),
    "outlook": ("First Name,Last Name,Company,Job Title,Business City,Business State,"
                "Business Country/Region,E-mail Address,E-mail 2 Address,Web Page",
                {"E-mail Address": "email", "E-mail 2 Address": "e_mail_2_address",
                 "Business City": "city", "Business State": "region",
                 "Business Country/Region": "country", "Web Page": "website"}),
    "german": ("Vorname,Nachname,Firma,Funktion,E-Mail-Adresse,Ort,Bundesland,Land,Webseite,Anrede",
               {"Vorname": "first_name", "Nachname": "last_name", "Firma": "company",
                "Funktion": "title", "E-Mail-Adresse": "email", "Ort": "city",
                "Bundesland": "region", "Land": "country", "Webseite": "website",
                "Anrede": "anrede"}),
    "french": ("Prénom,Nom,Société,Poste,Courriel,Ville,Région,Pays,Fuseau horaire",
               {"Prénom": "first_name", "Nom": "last_name", "Société": "company", "Poste": "title",
                "Courriel": "email", "Ville": "city", "Région": "region", "Pays": "country",
                "Fuseau horaire": "timezone"}),
    "spanish": ("Nombre,Apellidos,Empresa,Cargo,Correo electrónico,Ciudad,País,Sitio web",
                {"Nombre": "first_name", "Apellidos": "last_name", "Empresa": "company",
                 "Cargo": "title", "Correo electrónico": "email", "Ciudad": "city",
                 "País": "country", "Sitio web": "website"}),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """No mail server: nothing is started."""
    folder = tmp_path_factory.mktemp("running")
    with Coldmail(folder / "c", mailbox(ALI, 9), campaign()) as coldmail:
        coldmail.start()
        yield coldmail
        assert coldmail.stop() == 0


@pytest.mark.parametrize("tool", TOOLS)
def test_headings_of_other_programs_are_known(running, tool):
    heads, want = TOOLS[tool]
    row = ",".join("a@x.example" if "mail" in h.lower() or "corr" in h.lower() or "courr" in h.lower()
                   else "1" for h in heads.split(","))
    answer = imported(running, f"{heads}\n{row}\n", "--dry-run")
    assert answer["added"] == 1 and answer["invalid"] == 0
    got = {c["column"]: c["field"] for c in answer["columns"]}
    assert list(got) == heads.split(",")
    assert {h: got[h] for h in want} == want
    for field in ("email", "company", "first_name", "city"):
        assert list(got.values()).count(field) <= 1


def test_what_is_guessed_is_shown_and_stored_so(coldmail):  # noqa: F811
    file = put(coldmail, "E-mail Address,Vorname,Company,Hobby\na@x.example,Ann,Acme,chess\n")
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert done.returncode == 0 and done.stdout.startswith(
        'column "E-mail Address" is read as email\ncolumn "Vorname" is read as first_name\n1 added'), done
    lead = coldmail.ctl("leads", "show", "a@x.example")["lead"]
    assert (lead["first_name"], lead["company"], lead["extra"]) == ("Ann", "Acme", {"hobby": "chess"})
    done = run(coldmail, "--dry-run", "leads", "import", str(file), "--map", "Hobby=title",
               "--map", "Vorname=vorname")
    assert done.stdout.startswith(
        f'{file}: CSV in UTF-8\ncolumn "E-mail Address" is read as email\n'
        'column "Vorname" is read as vorname\ncolumn "Company" is read as company\n'
        'column "Hobby" is read as title\n'), done


def test_a_map_outranks_a_guess(coldmail):  # noqa: F811
    data = "Mail,Zweitmail,Firma\na@x.example,b@x.example,Acme\n"
    answer = imported(coldmail, data, "--map", "Zweitmail=email", "--map", "Firma=firma")
    assert columns(answer) == {"Mail": ("mail", "kept"), "Zweitmail": ("email", "mapped"),
                               "Firma": ("firma", "mapped")}
    lead = coldmail.ctl("leads", "show", "b@x.example")["lead"]
    assert lead["extra"] == {"mail": "a@x.example", "firma": "Acme"} and not lead.get("company")


def test_two_columns_that_may_be_one_field_are_a_question(coldmail):  # noqa: F811
    data = "Email Address,Mail,Firma\na@x.example,b@x.example,Acme\n"
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", data=data)
    assert done.returncode == 64 and not done.stdout and done.stderr == (
        'coldmailctl: (standard input):1: columns "Email Address" and "Mail" may both be email: '
        '--map "Email Address=email" reads the one and keeps the other under its own name\n')
    assert coldmail.ctl("leads", "list") == []
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders",
               "--map", "Email Address=email", data=data)
    assert done.returncode == 0 and "1 added" in done.stdout
    assert coldmail.ctl("leads", "show", "a@x.example")["lead"]["extra"] == {"mail": "b@x.example"}


def test_a_question_as_a_heading_is_a_name_all_the_same(coldmail):  # noqa: F811
    data = f"email,{'How did you hear of us? ' * 9}\na@x.example,by chance\n"
    answer = imported(coldmail, data)
    assert answer["added"] == 1, answer
    (name,) = coldmail.ctl("leads", "show", "a@x.example")["lead"]["extra"]
    assert name == ("how_did_you_hear_of_us_" * 9)[:64]


# ---- encodings --------------------------------------------------------------------------------------

PERSON = "E-Mail;Vorname;Firma\r\nzoe@x.example;Zoë;\"Müller & Söhne\r\nKöln\"\r\n"


@pytest.mark.parametrize("encoding, mark, said", [
    ("utf-8", b"", "UTF-8"), ("utf-8", b"\xef\xbb\xbf", "UTF-8"), ("cp1252", b"", "Windows-1252"),
    ("latin-1", b"", "Windows-1252"), ("utf-16-le", b"\xff\xfe", "UTF-16"),
    ("utf-16-be", b"\xfe\xff", "UTF-16")])
@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("separator", [";", "\t"])
def test_encodings(coldmail, encoding, mark, said, is_gzip, separator):  # noqa: F811
    data = mark + PERSON.replace(";", separator).encode(encoding)
    answer = imported(coldmail, gzip.compress(data) if is_gzip else data)
    assert (answer["added"], answer["invalid"], answer["encoding"]) == (1, 0, said)
    lead = coldmail.ctl("leads", "show", "zoe@x.example")["lead"]
    assert (lead["first_name"], lead["company"]) == ("Zoë", "Müller & Söhne\r\nKöln")


def test_what_is_no_utf8_is_said_and_shown(coldmail):  # noqa: F811
    file = put(coldmail, "email,first_name\na@x.example,Ann\nb@x.example,Zoë €\n".encode("cp1252"))
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert done.stdout.startswith(
        f'{file}:3: no UTF-8, and read as Windows-1252: "Zoë €". If that is not what it says, save the '
        'file as CSV in UTF-8.\n2 added'), done
    done = run(coldmail, "leads", "import", str(put(coldmail, "email,x\na@x.example,Zoë\n")))
    assert "1252" not in done.stdout


def test_a_damaged_record_of_a_utf8_file_is_no_other_encoding(coldmail):  # noqa: F811
    answer = imported(coldmail, "email,first_name\na@x.example,Zoë Ünal\n".encode()
                      + b"b@x.example,Zo\xeb\nc@x.example,Cy\n")
    assert (answer["added"], answer["invalid"]) == (2, 1)
    (problem,) = answer["problems"]
    assert problem["line"] == 3 and "first_name: not UTF-8 text" in problem["text"]


@pytest.mark.parametrize("data, said", [
    (b"PK\x03\x04\x14\x00", "an Excel workbook or a zip archive, expected a file saved as CSV in UTF-8"),
    (b"%PDF-1.4", "a PDF document"), (b"", "an empty file"), (gzip.compress(b"", mtime=0), "an empty file"),
    (gzip.compress(b"email\n", mtime=0)[:12], "the gzip file ends too early: was it copied as a whole?")])
def test_what_is_no_list_is_named(coldmail, data, said):  # noqa: F811
    done = run(coldmail, "leads", "import", str(put(coldmail, data)))
    assert done.returncode == 64 and f"leads.csv:1: {said}" in done.stderr, done


# ---- JSON -------------------------------------------------------------------------------------------

def test_json_lines(coldmail):  # noqa: F811
    lines = [
        json.dumps({"email": "a@x.example", "firstName": "Zoë", "company": "Acme", "employees": 250,
                    "tags": ["x", 2, None], "active": True, "none": None,
                    "hq": {"city": "Köln", "geo": {"lat": 50.94}}}),
        "",
        '{"email": "b@x.example", "id": 12345678901234567890}',
        "{oops}",
        '["c@x.example"]',
        '{"first_name": "Nobody"}',
        '{"email": "nobody"}',
        '{"email": "last@x.example"}']
    answer = imported(coldmail, "\n".join(lines), status=0)
    assert (answer["added"], answer["invalid"], answer["format"]) == (3, 4, "json")
    assert [(p["line"], p["result"]) for p in answer["problems"]] == [
        (4, "invalid"), (5, "invalid"), (6, "invalid"), (7, "invalid")]
    lead = coldmail.ctl("leads", "show", "a@x.example")["lead"]
    assert (lead["first_name"], lead["company"]) == ("Zoë", "Acme")
    assert lead["extra"] == {"employees": "250", "tags": "x, 2", "active": "true", "hq_city": "Köln",
                             "hq_geo_lat": "50.94"}
    lead = coldmail.ctl("leads", "show", "b@x.example")["lead"]
    assert lead["extra"] == {"id": "12345678901234567890"}, "every digit"
    assert columns(answer)["firstName".lower()] == ("first_name", "guessed")


def test_a_json_array_and_its_fields_by_other_names(coldmail):  # noqa: F811
    people = [{"emails": [{"value": f"p{i}@x.example"}], "organization": {"name": f"F {i}"},
               "deep": {"a": {"b": {"c": {"d": 1}}}}} for i in range(1203)]
    file = put(coldmail, gzip.compress(json.dumps(people, indent=2).encode()), "people.json.gz")
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders",
               "--map", "nothere=title")
    assert done.returncode == 0 and "1203 added" in done.stdout, done
    assert done.stdout.startswith('field "emails_1_value" is read as email\n'
                                  'field "organization_name" is read as company\n')
    assert 'no record of ' in done.stderr and 'has a field "nothere"' in done.stderr
    assert 'field "deep_a_b_c_d", and what lies as deep' in done.stderr
    assert coldmail.ctl("leads", "show", "p7@x.example")["lead"]["company"] == "F 7"


def test_json_that_names_nobody_is_refused_at_once(coldmail):  # noqa: F811
    data = '{"who": "a@x.example"}\n' * 3
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", data=data)
    assert done.returncode == 64 and "a column email was expected" in done.stderr
    assert "there are: who" in done.stderr and "added" not in done.stdout
    done = run(coldmail, "leads", "import", "-", "--campaign", "founders", "--map", "who=email", data=data)
    assert done.returncode == 0 and "1 added, 0 updated, 2 duplicate" in done.stdout


def test_json_with_two_addresses_is_a_question_a_line(coldmail):  # noqa: F811
    data = ('{"mail": "a@x.example", "email_address": "b@x.example"}\n'
            '{"mail": "c@x.example", "email_address": "c@x.example"}\n'
            '{"mail": "d@x.example", "email_address": null}\n{"email_address": "e@x.example"}\n')
    answer = imported(coldmail, data)
    assert (answer["added"], answer["invalid"]) == (3, 1)
    (problem,) = answer["problems"]
    assert problem["line"] == 1 and problem["text"] == (
        'fields "mail" and "email_address" may both be email: --map mail=email reads the one and keeps '
        "the other under its own name")


def test_case_01_the_providers_verdict_in_json(coldmail):  # noqa: F811
    verdicts = ["valid", "Invalid", None, 7, "", "unknown", ["invalid"], {"a": 1}, False]
    rows = [{"email": f"top{i}@x.example", "smtp_valid": v} for i, v in enumerate(verdicts)]
    rows += [{"email": f"raw{i}@x.example", "raw_data": {"emails": [
        {"email": "other@x.example", "smtp_valid": "invalid"},
        {"email": f"RAW{i}@x.example", "smtp_valid": v}]}} for i, v in enumerate(verdicts)]
    rows += [{"email": f"odd{i}@x.example", "smtp_valid": None, "raw_data": v} for i, v in enumerate(
        [None, 7, [], "x", {"emails": None}, {"emails": {}}, {"emails": [None, 7]}])]
    answer = imported(coldmail, "\n".join(map(json.dumps, rows)))
    assert (answer["added"], answer["invalid"]) == (len(rows), 0), answer
    said = {lead["email"]: lead.get("smtp_valid") for lead in coldmail.ctl("leads", "list")}
    assert [e for e, v in sorted(said.items()) if (v or "").lower() == "invalid"] == [
        "raw1@x.example", "top1@x.example", "top6@x.example"]
    assert said["top3@x.example"] == "7" and not said["top2@x.example"]


def test_an_export_in_json_can_be_imported_elsewhere(coldmail, tmp_path):  # noqa: F811
    imported(coldmail, "email,first_name,state,extra_x,notes\na@x.example,Ann,TX,1,hello\n",
             "--map", "state=state")
    done = run(coldmail, "--json", "leads", "export")
    with Coldmail(tmp_path / "other", mailbox(ALI, 9), campaign()) as other:
        again = run(other, "leads", "import", "-", data=done.stdout)
        assert "1 added" in again.stdout and "is an export" in again.stderr, again
        lead = other.ctl("leads", "show", "a@x.example")["lead"]
        assert lead["extra"] == {"state": "TX", "extra_x": "1", "notes": "hello"}
        assert (lead["campaign"], lead["first_name"]) == ("founders", "Ann")


# ---- a check ----------------------------------------------------------------------------------------

def test_a_check_says_what_the_import_then_does(coldmail):  # noqa: F811
    """Of a file with everything in it, in batches; and the check itself changes nothing."""
    chance = random.Random(5)
    assert run(coldmail, "suppress", "add", "quiet.example").returncode == 0
    imported(coldmail, "email,x\n" + "".join(f"p{i}@x.example,{i}\n" for i in range(300)))
    rows = [f"p{chance.randrange(900)}@{chance.choice(['x.example'] * 9 + ['quiet.example'])},"
            f"{chance.randrange(2)}" for _ in range(3000)]
    for i in range(0, 3000, 100):
        rows[i] = chance.choice(["nobody,1", ",", "a,b,c", "\"x"])
    data = "email,x\n" + "\n".join(rows) + "\n"
    before = coldmail.ctl("leads", "list")
    check = imported(coldmail, data, "--dry-run")
    assert coldmail.ctl("leads", "list") == before and check["dry_run"] is True
    real = imported(coldmail, data)
    results = ("added", "updated", "duplicate", "suppressed", "contacted", "invalid", "rows")
    assert {k: check[k] for k in results} == {k: real[k] for k in results}
    assert real["added"] > 400 and real["suppressed"] > 100 and real["duplicate"] > 400
    assert real["updated"] > 400 and real["invalid"] > 20
    invalid = [[p for p in a["problems"] if p["result"] == "invalid"] for a in (check, real)]
    assert invalid[0] == invalid[1]


def test_a_check_beside_a_daemon_that_works(running):
    """It is undone inside of the group that others are in."""
    names = addresses(40, "check.example")
    for _ in range(5):
        assert imported(running, "email\n" + "\n".join(names), "--dry-run")["added"] == 40
    assert running.ctl("leads", "show", names[0], status=None).returncode == 1
    file = put(running, "email\n" + "\n".join([*names, names[0]]))
    done = run(running, "--dry-run", "leads", "import", str(file), "--campaign", "founders")
    assert done.stdout.endswith(
        f"{file}:42: duplicate: {names[0]} is stored already, and nothing in this row is new\n"
        "It would be: 40 added, 0 updated, 1 duplicate, 0 suppressed, 0 invalid\n"
        "Checked only, nothing was stored.\n"), done.stdout


# ---- long files -------------------------------------------------------------------------------------

def test_a_file_that_is_cut_off_is_said_and_what_it_has_is_stored(coldmail):  # noqa: F811
    people = [f"p{i}@x.example" for i in range(5000)]
    data = gzip.compress(("email\n" + "\n".join(people) + "\n").encode())
    file = put(coldmail, data[: len(data) // 2], "cut.csv.gz")
    done = run(coldmail, "leads", "import", str(file), "--campaign", "founders")
    assert done.returncode == 1
    assert f"{file}: the gzip file ends too early: was it copied as a whole?" in done.stderr
    assert "Not finished: what is counted above is stored" in done.stdout
    stored = {lead["email"] for lead in coldmail.ctl("leads", "list")}
    assert 1000 < len(stored) < 4900 and stored == set(people[: len(stored)]), "and nobody by half a name"
    put(coldmail, data, "cut.csv.gz")
    assert f"{5000 - len(stored)} added" in run(
        coldmail, "leads", "import", str(file), "--campaign", "founders").stdout


def test_a_list_of_suppressions_that_is_cut_off_is_said(coldmail):  # noqa: F811
    data = gzip.compress(("pattern\n" + "".join(f"p{i}.example\n" for i in range(5000))).encode())
    answer = run(coldmail, "suppress", "import", str(put(coldmail, data[: len(data) // 2])))
    assert answer.returncode == 1 and "ends too early" in answer.stderr
    assert len(coldmail.ctl("suppress", "list")) > 1000


def peak_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read())[1])


@pytest.mark.skipif("san-" in os.environ.get("COLDMAIL_BUILD", ""), reason="measures memory")
@pytest.mark.parametrize("row", ["p{0}@x.example,{1}\n", "nobody {0},{1}\n"])
def test_memory_is_that_of_a_batch_whatever_the_file(coldmail, row):  # noqa: F811
    """40 MB through a pipe, compressed to less than one; every row of it wrong, too."""
    coldmail.start()
    process = subprocess.Popen(
        [coldmail.ctl_program, "-c", coldmail.conf, "--dry-run", "leads", "import", "-"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with gzip.GzipFile(fileobj=process.stdin, mode="wb", compresslevel=1) as out:
        out.write(b"email,note\n")
        for i in range(2000):
            out.write(row.format(i, "x" * 20000).encode())
            if i == 1900:
                out.flush()
                process.stdin.flush()
                peak = peak_kb(process.pid)
    stdout, stderr = process.communicate(timeout=60)
    assert not stderr and (b"2000 added" in stdout or b"2000 invalid" in stdout), (stdout, stderr)
    assert peak < 45_000, peak


def test_an_import_from_a_pipe_that_says_nothing_more_can_be_interrupted(coldmail):  # noqa: F811
    coldmail.start()
    process = subprocess.Popen(
        [coldmail.ctl_program, "-c", coldmail.conf, "leads", "import", "-", "--campaign", "founders"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"email,x\n" + b"".join(b"p%d@x.example,%s\n" % (i, b"x" * 4000) for i in range(1500)))
    process.stdin.flush()
    wait_until(lambda: coldmail.count("SELECT count(*) FROM leads") >= 500, what="the first batch")
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.stdin.close()
    process.stdin = None
    stdout, stderr = process.communicate(timeout=10)
    assert process.returncode == 1 and not stderr and b"Not finished" in stdout, (stdout, stderr)
    stored = int(re.search(rb"(\d+) added", stdout)[1])
    assert coldmail.count("SELECT count(*) FROM leads") == stored
