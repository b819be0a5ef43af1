"""Fixtures that every Python test here may ask for."""
import pytest

import certs as certificates
from fake_smtp import FakeSmtp


@pytest.fixture
def fake(tmp_path):
    """fake(*options, rules=[…]): a build/fake-smtp that ends with the test."""
    running = []

    def start(*options, rules=()):
        running.append(FakeSmtp(tmp_path / f"fake{len(running)}", *options, rules=rules))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(name="server")
def make_server(tmp_path):
    """One fake-smtp that takes every mail."""
    with FakeSmtp(tmp_path / "smtp") as server:
        yield server


@pytest.fixture(scope="session")
def certs(tmp_path_factory):
    """A CA and its certificates, good and bad ones (certs.py)."""
    return certificates.make(tmp_path_factory.mktemp("certs"))
