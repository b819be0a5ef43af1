"""What must hold between what a mail server accepted and what coldmail's store says of it, at rest.
Reads fake-smtp's list and the SQLite file, never the program's own opinion; `coldmailctl audit` is
asked as well, and has to agree."""
import collections

AUDITED = 200  # characters of a finding that are shown
DAY_MS = 24 * 60 * 60 * 1000


class OptOut(collections.namedtuple("OptOut", "address ms taken")):
    """An acknowledged opt-out: when its answer was read, and the attempts that it named."""


def _attempts(coldmail):
    return coldmail.rows(
        "SELECT key, n, state, to_email, message_id, sha256 FROM attempts" " WHERE slot = 0"
    )


def _each_mail_is_in_the_ledger(accepted, attempts):
    """(i) no step accepted twice; (ii) what was accepted is sent or uncertain, in these bytes."""
    by_id = collections.defaultdict(list)
    for a in attempts:
        by_id[a["message_id"]].append(a)
    times = collections.Counter()
    for mail in accepted:
        tries = by_id.get(mail.message_id)
        if not tries:
            yield f"accepted without an attempt: {mail.message_id} to {mail.to}"
            continue
        times[tries[0]["key"]] += 1
        if mail.to != [tries[0]["to_email"]]:
            yield f"{tries[0]['key']}: for {tries[0]['to_email']}, accepted for {mail.to}"
        if not any(a["state"] in ("sent", "uncertain") for a in tries):
            yield f"{tries[0]['key']}: accepted, but {[a['state'] for a in tries]}"
        if mail.sha256 not in [a["sha256"] for a in tries]:
            yield f"{tries[0]['key']}: other bytes than the attempt's"
    yield from (f"{key}: accepted {n} times" for key, n in times.items() if n > 1)
    for a in attempts:
        if a["state"] == "sent" and not times[a["key"]]:
            yield f"{a['key']}#{a['n']}: sent, but never accepted"


def _each_attempt_has_ended_once(attempts):
    went = collections.Counter(a["key"] for a in attempts if a["state"] in ("sent", "uncertain"))
    yield from (f"{key}: {n} attempts that went out" for key, n in went.items() if n > 1)
    yield from (f"{a['key']}#{a['n']}: still open" for a in attempts if a["state"] == "reserved")


def _opt_outs_are_kept(accepted, attempts, opt_outs):
    """(iii) no mail after an acknowledged opt-out, but for one that its answer named."""
    ids = {f"{a['key']}#{a['n']}": a["message_id"] for a in attempts}
    mails = collections.defaultdict(list)
    for mail in accepted:
        mails[mail.to[0]].append(mail)
    for opt_out in opt_outs:
        named = {ids.get(taken) for taken in opt_out.taken}
        for mail in mails[opt_out.address]:
            if mail.ms > opt_out.ms and mail.message_id not in named:
                yield f"{opt_out.address}: mailed {mail.ms - opt_out.ms} ms after its opt-out"


def _caps_are_kept(coldmail, caps):
    """(iv) in no 24 hours more mails went out from a mailbox than its daily limit."""
    for mailbox, cap in caps.items():
        at = [
            row["at"]
            for row in coldmail.rows(
                "SELECT s.at FROM attempts s JOIN attempts a ON s._id = a._id || '!'"
                " WHERE s.state = 'transmitting' AND a.state IN ('sent', 'uncertain')"
                " AND s.mailbox = ? ORDER BY s.at",
                mailbox,
            )
        ]
        for first, last in zip(at, at[cap:]):
            if last - first < DAY_MS:
                yield f"{mailbox}: {cap + 1} mails within 24 hours of {first}"


def _leads_view_is_the_ledger(coldmail):
    """(vi) leads.status follows emails, first steps sent are leads written to, tallies count."""
    for lead in coldmail.rows(
        "SELECT l.email, l.state, l.status, l.n_sent, count(e.key) AS went FROM leads l"
        " LEFT JOIN emails e ON e.lead_id = l._id AND e.outcome IN ('sent', 'uncertain')"
        " GROUP BY l._id"
    ):
        if lead["n_sent"] != lead["went"]:
            yield f"{lead['email']}: n_sent {lead['n_sent']}, in the ledger {lead['went']}"
        if lead["went"] and lead["status"] in ("pending", "failed", "invalid"):
            yield f"{lead['email']}: written to, but {lead['status']}"
        if lead["state"] == "in_flight":
            yield f"{lead['email']}: in flight at rest"
    first = coldmail.count(
        "SELECT count(*) FROM emails WHERE followup_number = 0"
        " AND outcome IN ('sent', 'uncertain') AND lead_id IN (SELECT _id FROM leads)"
    )
    written = coldmail.count(
        "SELECT count(*) FROM leads"
        " WHERE status IN ('sent', 'replied', 'bounced', 'unsubscribed')"
    )
    if first != written:
        yield f"first steps sent {first}, leads written to {written}"
    tally = coldmail.rows("SELECT campaign, state, reason, n FROM tally WHERE n <> 0")
    counted = coldmail.rows(
        "SELECT coalesce(campaign, ''), coalesce(state, ''),"
        " coalesce(reason, ''), count(*) FROM leads GROUP BY 1, 2, 3"
    )
    if sorted(map(tuple, tally)) != sorted(map(tuple, counted)):
        yield f"tally {sorted(map(tuple, tally))}, counted {sorted(map(tuple, counted))}"


def violations(coldmail, accepted, opt_outs=(), caps=()):
    """One sentence for each broken promise; COLDMAIL has ended. CAPS: {mailbox: daily limit}."""
    attempts = _attempts(coldmail)
    yield from _each_mail_is_in_the_ledger(accepted, attempts)
    yield from _each_attempt_has_ended_once(attempts)
    yield from _opt_outs_are_kept(accepted, attempts, opt_outs)
    yield from _caps_are_kept(coldmail, dict(caps))
    yield from _leads_view_is_the_ledger(coldmail)
    audit = coldmail.ctl("audit", status=None)
    if audit.returncode:
        yield f"audit: {(audit.stdout + audit.stderr)[:AUDITED]}"


def check(coldmail, accepted, opt_outs=(), caps=()):
    found = list(violations(coldmail, accepted, opt_outs, caps))
    assert not found, f"{len(found)} violations:\n" + "\n".join(found[:20])
