#!/usr/bin/python3
"""An oracle for the calendar (src/plan), in another language and by another way: every minute's
local time from zoneinfo, held against the calendar's own words.

plan_oracle.py SEED [N]: random calendars in zones with jumps, N a zone, one a line, numbers with
blanks between:
    ZONE START MINUTES days us (n from to …)windows (n day …)list (n from to …)freeze (n from to …)open
START is in seconds since 1970; the open times, in minutes from START, are the answer.
"""
import calendar
import datetime
import functools
import random
import sys
import zoneinfo

# Where clocks jump, and from when on: spring and autumn, half an hour, odd offsets, a rule that
# changed, a day that was left out.
ZONES = {
    "America/New_York": ["2026-02-20", "2026-10-20", "2027-12-20"],
    "Europe/Berlin": ["2026-03-20", "2026-10-10"],
    "Australia/Lord_Howe": ["2026-03-25", "2026-09-20"],
    "Asia/Kathmandu": ["2026-01-01"],
    "Asia/Kolkata": ["2026-01-01"],
    "America/St_Johns": ["2026-02-25"],
    "Pacific/Chatham": ["2026-03-25", "2026-09-15"],
    "Africa/Casablanca": ["2026-02-01"],
    "America/Sao_Paulo": ["2018-10-20", "2019-02-01"],
    "America/Mexico_City": ["2022-03-25", "2022-10-20", "2023-03-25"],
    "Europe/Istanbul": ["2016-03-20", "2016-10-25"],
    "Pacific/Apia": ["2011-12-15"],
    "Asia/Amman": ["2022-10-20"],
    "UTC": ["2026-06-25"],
}
DAYS = 45
EPOCH = datetime.date(1970, 1, 1)


def nth(year, month, weekday, n):
    """The Nth WEEKDAY (0: Monday) of a month; -1: the last."""
    days = [week[weekday] for week in calendar.monthcalendar(year, month) if week[weekday]]
    return datetime.date(year, month, days[n - 1 if n > 0 else n])


@functools.cache
def us_holidays(year):
    """Of the holidays of YEAR all days that are closed: themselves and where they are observed."""
    fixed = [datetime.date(year, m, d) for m, d in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25))]
    moving = [nth(year, 1, 0, 3), nth(year, 2, 0, 3), nth(year, 5, 0, -1), nth(year, 9, 0, 1),
              nth(year, 10, 0, 2), nth(year, 11, 3, 4)]
    observed = [d + datetime.timedelta({5: -1, 6: 1}[d.weekday()]) for d in fixed
                if d.weekday() >= 5]
    return set(fixed + moving + observed)


def is_us_holiday(date):
    return any(date in us_holidays(year) for year in (date.year, date.year + 1))


def random_calendar(rng, first):
    """(days, us, windows, list, freeze); dates as date objects near FIRST."""
    edges = sorted(rng.sample(range(0, 1441, rng.choice([1, 15, 30])), 2 * rng.randint(1, 3)))
    if rng.random() < 0.2:
        edges = [0, 1440]
    near = lambda: first + datetime.timedelta(rng.randrange(DAYS))
    freeze = [sorted((near(), near())) for _ in range(rng.choice([0, 0, 1, 2]))]
    return (rng.randint(1, 127) if rng.random() < 0.7 else 127, rng.random() < 0.5,
            list(zip(edges[::2], edges[1::2])),
            sorted({near() for _ in range(rng.choice([0, 0, 3, 10]))}),
            [f for f in freeze if (f[1] - f[0]).days < 20])


def opens(minutes, days, us, windows, listed, freeze):
    """[[from, to), …] in minutes, one minute after the other."""
    @functools.cache
    def is_open_day(date):
        return (days >> date.weekday() & 1 and not (us and is_us_holiday(date))
                and date not in listed and not any(a <= date <= b for a, b in freeze))

    found, was = [], False
    for i, (date, minute) in enumerate(minutes):
        is_open = any(a <= minute < b for a, b in windows) and is_open_day(date)
        if is_open != was:
            found.append(i)
            was = is_open
    return found + [len(minutes)] * (len(found) % 2)


def number(date):
    return (date - EPOCH).days


def flat(pairs):
    return [len(pairs)] + [x for pair in pairs for x in pair]


def main():
    rng = random.Random(int(sys.argv[1]))
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    for name, starts in ZONES.items():
        zone = zoneinfo.ZoneInfo(name)
        for start in starts:
            first = datetime.date.fromisoformat(start)
            begin = datetime.datetime.combine(first, datetime.time(), datetime.timezone.utc)
            local = (begin + datetime.timedelta(minutes=i) for i in range(DAYS * 1440))
            minutes = [(t.date(), t.hour * 60 + t.minute) for t in
                       (t.astimezone(zone) for t in local)]
            for _ in range(n):
                days, us, windows, listed, freeze = random_calendar(rng, first)
                found = opens(minutes, days, us, windows, listed, freeze)
                print(name, int(begin.timestamp()), len(minutes), days, int(us), *flat(windows),
                      len(listed), *map(number, listed),
                      *flat([tuple(map(number, f)) for f in freeze]),
                      *flat(list(zip(found[::2], found[1::2]))))


if __name__ == "__main__":
    main()
