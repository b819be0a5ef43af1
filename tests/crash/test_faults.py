"""The daemon dies while its server misbehaves: each fault of a server with each fail-point, in the
clear and over TLS. COLDMAIL_PAIRS=all tries every pair; without it each fault meets some
fail-points, and each fail-point some faults, always the same."""
import os

import pytest

import oracle
from daemon import ALI, BEA
from lives import RECOVERY, STARTTLS, TLS, WIRES, case, die

ALL = os.environ.get("COLDMAIL_PAIRS") == "all"
MEETINGS = 2  # fail-points that a fault meets otherwise
CAP = 4  # mails a day and mailbox: a campaign takes some days
ENDS = ("drop", "rst", 'partial "2" then drop', "silence")
LATER = ("reply 421 Busy then drop", "reply 451 4.7.1 Greylisted")


def faults():
    """(a rule, the wire it needs or None)"""
    for verb in ("connect", "ehlo", "mail", "rcpt", "data", "dot"):
        yield from ((f"on {verb} times 2 do {action}", None) for action in (*LATER, *ENDS))
    # A server that says no in the middle of a mail and then takes it nonetheless could not be told
    # from one that says no to the dot.
    for action in ("reply 451 4.7.1 Greylisted then drop", *ENDS):
        yield f"on body times 2 do {action}", None
    for action in ("drop", "rst", "partial 250 then rst", "reply 250 Fine then rst", "silence"):
        yield f"on dot times 2 do accept then {action}", None
    for verb in ("rset", "quit"):
        yield from ((f"on {verb} do {action}", None) for action in ENDS)
    for action in ENDS:
        yield f"on tls times 2 do {action}", TLS
        yield f"on tls times 2 do {action}", STARTTLS
        yield f"on auth times 2 do {action}", STARTTLS
    for action in (*LATER, *ENDS, r'reply 220 Go then partial "250 injected\r\n"'):
        yield f"on starttls times 2 do {action}", STARTTLS
    for action in ("reply 454 4.7.0 Later", "reply 535 5.7.8 Wrong"):
        yield f"on auth times 1 do {action}", TLS


FAULTS = list(faults())


def pairs(number, points):
    """The fail-points that fault NUMBER meets: (point, which passing of it)."""
    count = len(points)
    some = {(number + k * count // MEETINGS) % count for k in range(MEETINGS)}
    met = range(count) if ALL else some
    return [(points[i], (1, 1, 3)[(number + i) % 3]) for i in sorted(met)]


def one_case(rule, wire, point, n, imported, folder, certs):
    server, coldmail = case(imported, folder, [rule], wire, certs, daily_limit=CAP)
    with server, coldmail:
        # Where nobody answers, time passes as slowly as it does for a person.
        seconds = 2 if "silence" in rule else 60
        if point in RECOVERY:
            die(coldmail, "slot.after", 3, "--fast-forward", seconds=seconds)
        died = die(coldmail, point, n, "--fast-forward", seconds=seconds)
        if "silence" in rule:
            server.set_rules()
        coldmail.fast_forward()
        oracle.check(coldmail, server.mails(), caps={ALI: CAP, BEA: CAP})
        return died


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=lambda i: FAULTS[i][0])
def test_case_07_08_09_killed_beside_a_fault(number, imported, points, certs, tmp_path):
    rule, wire = FAULTS[number]
    for i, (point, n) in enumerate(pairs(number, points)):
        on = wire or WIRES[(number + i) % len(WIRES)]
        folder = tmp_path / f"{point}-{n}-{on.name}"
        print(folder.name)  # which one it was, should it fail
        died = one_case(rule, on, point, n, imported, folder, certs)
        assert died or n > 1, "not passed"
