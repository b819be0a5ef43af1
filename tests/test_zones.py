"""config/zones.tsv against the time zone database: what it decides is what every clock there shows."""
import datetime
import functools
import pathlib
import zoneinfo

from support import REPOSITORY

DATABASE = pathlib.Path("/usr/share/zoneinfo")
# These share a zone by name, and countries by their code.
PARTS = {"us", "ca", "au", "br"}


@functools.cache
def clock(name):
    """What is shown there every six hours of three years from the last one of zones.tsv's source."""
    zone, start = zoneinfo.ZoneInfo(name), datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    return [(start + datetime.timedelta(hours=6 * i)).astimezone(zone).utcoffset()
            for i in range(3 * 366 * 4)]


def rows():
    """(the country's names, the region's names, zone) of each row."""
    country = None
    for line in (REPOSITORY / "config/zones.tsv").read_text().splitlines():
        if line.startswith("="):
            country = line[1:].split("|")
        elif not line.startswith("#"):
            regions, zone = line.split("\t")
            yield country, regions.split("|"), zone


def test_a_country_has_one_clock():
    zones = {}
    for line in (DATABASE / "zone.tab").read_text().splitlines():
        if not line.startswith("#"):
            code, _, zone = line.split("\t")[:3]
            zones.setdefault(code.lower(), []).append(zone)
    whole = {country[0]: zone for country, regions, zone in rows() if regions == ["*"]}
    # China keeps one time by law, whatever is shown in Urumqi.
    assert whole.pop("cn") == "Asia/Shanghai"
    for code, zone in whole.items():
        assert all(clock(z) == clock(zone) for z in zones[code]), code
    assert len(whole) > 200 and not PARTS & set(whole)


def test_each_name_stands_once_and_as_it_is_looked_up():
    seen = set()
    for country, regions, zone in rows():
        clock(zone)
        for name in ((c, r) for c in country for r in regions):
            assert name not in seen, name
            seen.add(name)
        for name in country + regions:
            assert name == " ".join(name.lower().replace(".", "").replace("-", " ").split())
    assert {country[0] for country, regions, _ in rows() if regions != ["*"]} == PARTS
    for region, zone in (("dc", "America/New_York"), ("california", "America/Los_Angeles")):
        assert [z for c, r, z in rows() if c[0] == "us" and region in r] == [zone]
    for split in ("texas", "florida", "indiana", "tennessee", "arizona", "alaska", "oregon"):
        assert not [z for c, r, z in rows() if c[0] == "us" and split in r]
