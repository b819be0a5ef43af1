"""Certificates for servers on loopback, made by the program openssl: a CA that tests trust, and what it
signed. `make` takes a moment, so the fixture `certs` (conftest.py) calls it once a session."""
import collections
import shutil
import subprocess

from support import missing

HERE = "DNS:localhost,IP:127.0.0.1,IP:::1"
ELSEWHERE = "elsewhere.example"
EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


class Cert(collections.namedtuple("Cert", "cert key")):
    """Two files in PEM."""

    @property
    def options(self):
        """What fake-smtp wants to hear."""
        return ["--cert", str(self.cert), "--key", str(self.key)]


# ca: the CA's certificate alone; the others: a Cert each. Only `good` is to be accepted, and only
# by who trusts the CA; wrong_name is for ELSEWHERE, self_signed is signed by itself.
Certs = collections.namedtuple("Certs", "ca good expired wrong_name self_signed")


def openssl(*arguments):
    done = subprocess.run(
        ["openssl", *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False)
    assert done.returncode == 0, (arguments, done.stderr)


def _request(folder, name, names, *how):
    """A new key, and what HOW makes of it: a request, or a certificate at once."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    openssl("req", *EC, "-keyout", key, "-out", cert, "-subj", f"/CN=coldmail test {name}",
            *(["-addext", f"subjectAltName={names}"] if names else []), *how)
    return Cert(cert, key)


def _sign(ca, cert, days):
    openssl("x509", "-req", "-in", cert.cert, "-out", cert.cert, "-CA", ca.cert, "-CAkey", ca.key,
            "-copy_extensions", "copy", "-days", days)
    return cert


def make(folder):
    if not shutil.which("openssl"):
        missing("openssl (package openssl)")
    folder.mkdir(parents=True, exist_ok=True)
    ca = _request(folder, "ca", None, "-x509", "-days", 30)
    return Certs(
        ca=ca.cert,
        good=_sign(ca, _request(folder, "good", HERE), 30),
        expired=_sign(ca, _request(folder, "expired", HERE), -1),
        wrong_name=_sign(ca, _request(folder, "wrong_name", f"DNS:{ELSEWHERE}"), 30),
        self_signed=_request(folder, "self_signed", HERE, "-x509", "-days", 30),
    )
