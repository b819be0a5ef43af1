#!/bin/sh
# daemon.sh: the daemon's durable pipeline against smtp-source, and what an idle daemon costs.
# Called by `make bench`; RUNS and MAILS change the size.
exec "${PYTHON:-/usr/bin/python3}" "$(dirname "$0")/daemon.py"
