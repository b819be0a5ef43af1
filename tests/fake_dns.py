"""A name server on loopback that answers MX, A and AAAA as it was told: {domain: answer}. An answer is
a list of hosts (its MX), "null" (RFC 7505), "address" (an A and no MX), "address6", "empty",
"nxdomain", "servfail", "garbage" or "silent". What it does not know does not exist."""
import socket
import struct
import threading

MX, A, AAAA = 15, 1, 28
SERVFAIL, NXDOMAIN = 2, 3


def name(text):
    labels = [label for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"


def question(packet):
    """The name that is asked for, the type, and where the question ends."""
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
        at += 1 + packet[at]
    return ".".join(labels).lower(), struct.unpack_from(">H", packet, at + 1)[0], at + 5


def records(answer, kind):
    if kind == MX and isinstance(answer, list):
        return [struct.pack(">H", 10 * i) + name(host) for i, host in enumerate(answer)]
    if kind == MX and answer == "null":
        return [struct.pack(">H", 0) + name("")]
    if kind == A and answer == "address":
        return [bytes([127, 0, 0, 1])]
    if kind == AAAA and answer == "address6":
        return [bytes(15) + b"\1"]
    return []


class FakeDns:
    def __init__(self, **answers):
        self.answers = {k.replace("_", "."): v for k, v in answers.items()}
        self.asked = []  # (name, type), as they came
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port = self.socket.getsockname()[1]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *what):
        self.over.set()
        self.thread.join(5)
        self.socket.close()

    def serve(self):
        while not self.over.is_set():
            try:
                packet, peer = self.socket.recvfrom(4096)
            except TimeoutError:
                continue
            reply = self.reply(packet)
            if reply is not None:
                self.socket.sendto(reply, peer)

    def reply(self, packet):
        domain, kind, end = question(packet)
        answer = self.answers.get(domain, "nxdomain")
        self.asked.append((domain, kind))
        if answer == "silent":
            return None
        if answer == "garbage":
            return packet[:2] + b"\x81\x80" + b"\xff" * 40
        code = {"nxdomain": NXDOMAIN, "servfail": SERVFAIL}.get(str(answer), 0)
        found = records(answer, kind)
        head = packet[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        body = b"".join(
            struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(data)) + data for data in found
        )
        return head + packet[12:end] + body
