"""Mail servers that nobody here wrote, each started on loopback with a folder of its own and ended by
its pid: Postfix's smtp-sink, aiosmtpd, nginx (TLS in front of another one) and a whole Postfix.

What they took comes as fake_smtp.Mail, so that oracle.py can hold it against the store. Where it is
kept with other line ends or more headers, these are put back: what a sender sent has to be there
byte by byte.
"""
import email.parser
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import socket
import subprocess
import sys
import tempfile

from fake_smtp import Mail
from support import free_port, missing, wait_until

SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/lib/postfix/sbin"])
# What servers put before a mail.
TRACE = ("Return-Path", "X-Original-To", "Delivered-To", "Received", "X-Client-Addr",
         "X-Client-Proto", "X-Helo-Args", "X-Mail-Args", "X-Rcpt-Args")
USER, PASSWORD = "ali", "correct horse: battery"


def program(name, package):
    found = shutil.which(name, path=SBIN)
    if not found:
        missing(f"{name} (package {package})")
    return found


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def as_mail(data, number, sender, to):
    """DATA: the bytes between DATA and the dot."""
    message_id = email.parser.BytesHeaderParser().parsebytes(data)["Message-ID"]
    return Mail(number, 0, sender, to, message_id or "-", hashlib.sha256(data).hexdigest())


def split_trace(data):
    """(what the server said of a mail, the mail), of a file with LF line ends."""
    said, start = {}, 0
    for header in re.finditer(rb"([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)\n", data):
        name = header[1].decode()
        if header.start() != start or name not in TRACE:
            break
        said[name], start = header[2].decode().strip(), header.end()
    return said, data[start:].replace(b"\n", b"\r\n")


class Peer:
    """A running server with its files in FOLDER; `with` ends it."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.log, self.port = folder, folder / "log", free_port()
        self.process = None

    def run(self, *command, **keys):
        """Starts it; returns when it listens."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **keys)
        try:
            wait_until(lambda: answers(self.port) or self.process.poll() is not None, 20,
                       f"{command[0]} listening")
            assert self.process.poll() is None, self.log.read_text(errors="replace")
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stop()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)


class SmtpSink(Peer):
    """smtp-sink(1); OPTIONS are its own, such as "-Q", "rcpt"."""

    def __init__(self, folder, *options):
        super().__init__(folder)
        self.dump = folder / "dump"
        self.dump.mkdir()
        sink = program("smtp-sink", "postfix")
        if os.geteuid() == 0:  # it insists on being somebody else, who may not come here by itself
            os.chown(self.dump, pwd.getpwnam("nobody").pw_uid, -1)
            options = ["-u", "nobody", "-R", self.dump, *options]
        self.run(sink, "-m", "1024", "-d", "mail.", *options, f"127.0.0.1:{self.port}", "1024",
                 cwd=self.dump)

    def mails(self):
        """Those whose dot has come, whatever was said to it."""
        for number, file in enumerate(sorted(self.dump.iterdir()), 1):
            data = file.read_bytes()
            if data.endswith(b"\n\n"):  # a mail, and the line with which smtp-sink ends one
                said, mail = split_trace(data[:-1])
                sender, to = (re.match("<(.*?)>", said[f"X-{arguments}-Args"])[1]
                              for arguments in ("Mail", "Rcpt"))
                yield as_mail(mail, number, sender, [to])


class Aiosmtpd(Peer):
    """aiosmtpd (peer_aiosmtpd.py): STARTTLS or, if TLS, TLS at once; with a login of USER."""

    def __init__(self, folder, cert, tls=False):
        super().__init__(folder)
        # Debian's package is for Debian's Python.
        if subprocess.run([sys.executable, "-c", "import aiosmtpd"], capture_output=True,
                          check=False).returncode:
            missing("aiosmtpd (package python3-aiosmtpd)")
        self.list = folder / "accepted"
        self.run(sys.executable, pathlib.Path(__file__).with_name("peer_aiosmtpd.py"),
                 "--port", self.port, "--list", self.list, "--user", USER, "--password", PASSWORD,
                 *cert.options, *(["--tls"] if tls else []))

    def mails(self):
        lines = self.list.read_text().splitlines() if self.list.exists() else []
        for number, said in enumerate(map(json.loads, lines), 1):
            mail = as_mail(said["data"].encode("latin-1"), number, said["from"], said["to"])
            yield mail._replace(user=said["user"], tls=said["tls"])


class NginxTls(Peer):
    """nginx as people put it before a server without TLS: smtps to BEHIND, a port."""

    def __init__(self, folder, behind, cert):
        super().__init__(folder)
        module = pathlib.Path("/usr/lib/nginx/modules/ngx_stream_module.so")
        nginx = program("nginx", "nginx-light")
        if not module.exists():
            missing(f"{module} (package libnginx-mod-stream)")
        conf = folder / "nginx.conf"
        conf.write_text(f"""
            load_module {module};
            daemon off; master_process off; pid {folder}/pid; error_log {self.log};
            events {{ worker_connections 256; }}
            stream {{
                server {{
                    listen 127.0.0.1:{self.port} ssl;
                    ssl_certificate {cert.cert}; ssl_certificate_key {cert.key};
                    proxy_pass 127.0.0.1:{behind};
                }}
            }}
        """)
        self.run(nginx, "-p", folder, "-e", self.log, "-c", conf)


class Postfix(Peer):
    """A Postfix with its own configuration and queue, into Maildirs. It takes mail for take.example
    and send.example, from whoever is on this machine; `later` it defers, `nobody` it refuses, and
    who is at bounce.example is found not to exist only when it has said 250."""

    MAIN = """
        compatibility_level = 3.6
        queue_directory = {home}/queue
        data_directory = {home}/data
        maillog_file = {home}/log
        maillog_file_prefixes = {home}
        myhostname = postfix.localhost
        mydestination =
        mynetworks = 127.0.0.0/8
        inet_interfaces = 127.0.0.1
        inet_protocols = ipv4
        alias_maps =
        local_recipient_maps =
        smtpd_reject_unlisted_recipient = no
        smtpd_recipient_restrictions = check_recipient_access
            inline:{{ {{ later@take.example = 450 4.2.0 Greylisted, try again in 5 minutes }},
            {{ nobody@take.example = 550 5.1.1 User unknown }} }}, permit_mynetworks, reject
        virtual_mailbox_domains = take.example send.example bounce.example
        virtual_mailbox_base = {home}/mail
        virtual_mailbox_maps = inline:{{ @take.example=take/, @send.example=send/ }}
        virtual_uid_maps = static:{uid}
        virtual_gid_maps = static:{gid}
        virtual_minimum_uid = 1
        default_transport = error:nothing leaves this machine
        relay_transport = error:nothing leaves this machine
        smtpd_tls_security_level = {tls}
        smtpd_tls_cert_file = {cert.cert}
        smtpd_tls_key_file = {cert.key}
    """
    MASTER = """
        127.0.0.1:{port} inet n - n - - smtpd
        cleanup unix n - n - 0 cleanup
        qmgr unix n - n 300 1 qmgr
        tlsmgr unix - - n 1000? 1 tlsmgr
        rewrite unix - - n - - trivial-rewrite
        bounce unix - - n - 0 bounce
        defer unix - - n - 0 bounce
        trace unix - - n - 0 bounce
        proxymap unix - - n - - proxymap
        error unix - - n - - error
        retry unix - - n - - error
        virtual unix - n n - - virtual
        anvil unix - - n - 1 anvil
        postlog unix-dgram n - n - 1 postlogd
    """

    def __init__(self, folder, cert, tls="may"):
        super().__init__(folder)
        master, postfix = program("master", "postfix"), program("postfix", "postfix")
        if os.geteuid() != 0:
            missing("root, for a Postfix of its own")
        # Its processes are other users, who may not go through pytest's folders.
        self._home = tempfile.TemporaryDirectory(prefix="coldmail-postfix-")
        home, nobody = pathlib.Path(self._home.name), pwd.getpwnam("nobody")
        home.chmod(0o755)
        for name, owner in [("etc", "root"), ("queue", "root"), ("data", "postfix"),
                            ("mail", "nobody")]:
            (home / name).mkdir()
            os.chown(home / name, pwd.getpwnam(owner).pw_uid, -1)
        self.log, self.maildirs = home / "log", home / "mail"
        self._write(home / "etc/main.cf", self.MAIN.format(
            home=home, uid=nobody.pw_uid, gid=nobody.pw_gid, cert=cert, tls=tls))
        self._write(home / "etc/master.cf", self.MASTER.format(port=self.port))
        subprocess.run([postfix, "-c", home / "etc", "check"], timeout=60, check=True)
        # A session of its own, since it ends its whole group.
        self.run(master, "-s", env={**os.environ, "MAIL_CONFIG": str(home / "etc")},
                 start_new_session=True)

    @staticmethod
    def _write(file, text):
        file.write_text("".join(f"{line.removeprefix(' ' * 8)}\n" for line in text.splitlines()))

    def _files(self, maildir):
        new = self.maildirs / maildir / "new"
        return [file.read_bytes() for file in sorted(new.iterdir())] if new.exists() else []

    def mails(self):
        """What take.example got. (Mail for nobody there, or at bounce.example, is not among it.)"""
        for number, data in enumerate(self._files("take"), 1):
            said, mail = split_trace(data)
            yield as_mail(mail, number, said["Return-Path"].strip("<>"), [said["X-Original-To"]])

    def bounces(self):
        """The bytes of what came back to send.example."""
        return self._files("send")

    def stop(self):
        super().stop()
        self._home.cleanup()
