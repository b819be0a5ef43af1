#!/bin/sh
# tls.sh: what TLS costs, in speed and in memory, and whether a slow relay is kept busy.
# Called by `make bench`; ROUNDS and MAILS change the size.
exec "${PYTHON:-/usr/bin/python3}" "$(dirname "$0")/tls.py"
