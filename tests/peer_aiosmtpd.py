"""A submission server made of aiosmtpd: no mail without TLS and a login. What it accepts is a line of
JSON in a list, there before the 250. Started by peers.py."""
import argparse
import asyncio
import json
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Keeper:
    def __init__(self, path):
        self.list = open(path, "a", encoding="utf-8")

    async def handle_DATA(self, server, session, envelope):
        line = {
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "user": session.auth_data,
            "tls": server.transport.get_extra_info("ssl_object").version(),
            "data": envelope.original_content.decode("latin-1"),
        }
        self.list.write(json.dumps(line) + "\n")
        self.list.flush()
        return "250 2.0.0 Ok"


def main():
    parser = argparse.ArgumentParser()
    for name in ("port", "list", "cert", "key", "user", "password"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    keeper, right = Keeper(options.list), (options.user.encode(), options.password.encode())

    def authenticate(server, session, envelope, mechanism, data):
        known = isinstance(data, LoginPassword) and (data.login, data.password) == right
        return AuthResult(success=known, handled=False, auth_data=options.user)

    def connection():
        if options.tls:  # it knows of no TLS but its own
            return SMTP(keeper, authenticator=authenticate, auth_require_tls=False,
                        auth_required=True)
        return SMTP(keeper, authenticator=authenticate, auth_required=True, require_starttls=True,
                    tls_context=context)

    async def serve():
        server = await asyncio.get_running_loop().create_server(
            connection, "127.0.0.1", int(options.port), ssl=context if options.tls else None)
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    main()
