"""`make install` and `make uninstall`, as a packager and as an administrator meet them."""
import subprocess

import pytest

from support import BUILD, REPOSITORY


def make(goal, *variables):
    done = subprocess.run(
        ["make", "-s", "-C", REPOSITORY, "-o", "all", goal, f"BUILD={BUILD}", *variables],
        text=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


@pytest.fixture
def root(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr", "SYSCONFDIR=/srv/etc")
    return tmp_path


def test_everything_is_in_its_place(root):
    there = files(root)
    for path in ("usr/sbin/coldmail", "usr/bin/coldmailctl", "usr/bin/fake-smtp",
                 "usr/share/man/man8/coldmail.8", "usr/share/man/man5/coldmail.conf.5",
                 "usr/share/man/man1/coldmailctl.1", "usr/lib/sysusers.d/coldmail.conf",
                 "usr/lib/systemd/system/coldmail.service", "srv/etc/coldmail.conf",
                 "usr/share/coldmail/examples/coldmail.conf", "usr/share/doc/coldmail/LICENSE",
                 "usr/share/doc/coldmail/unsubscribe.md"):
        assert path in there
    assert not [path for path in there if "demo/run" in path]


def test_unit_names_the_places(root):
    unit = (root / "usr/lib/systemd/system/coldmail.service").read_text()
    assert "\nExecStart=/usr/sbin/coldmail -c /srv/etc/coldmail.conf\n" in unit
    assert "\nExecReload=/usr/bin/coldmailctl -c /srv/etc/coldmail.conf reload\n" in unit
    assert "@" not in "".join(line for line in unit.splitlines() if line.startswith("Exec"))


def test_installed_configuration_is_inert_and_sound(root):
    done = subprocess.run([root / "usr/sbin/coldmail", "-c", root / "srv/etc/coldmail.conf",
                           "--check"], text=True, timeout=60, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_configuration_is_never_overwritten(root):
    conf = root / "srv/etc/coldmail.conf"
    conf.write_text("# mine\n")
    make("install", f"DESTDIR={root}", "PREFIX=/usr", "SYSCONFDIR=/srv/etc")
    assert conf.read_text() == "# mine\n"


def test_uninstall_leaves_the_configuration_alone(root):
    make("uninstall", f"DESTDIR={root}", "PREFIX=/usr", "SYSCONFDIR=/srv/etc")
    assert files(root) == ["srv/etc/coldmail.conf"]
