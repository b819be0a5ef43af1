#!/bin/sh
# The ledger alone: complete pipelines a second on one file, 64 in flight, as the median of ROUNDS (3),
# and the memory with LEADS (100000) leads in it. BUILD, ROUNDS, LEADS, MAILS (20000).
set -eu
: "${BUILD:=build}" "${ROUNDS:=3}" "${LEADS:=100000}" "${MAILS:=20000}"

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
for _ in $(seq "$ROUNDS"); do
	rm -f "$dir"/*.db*
	"$BUILD/bench-store" "$dir" "$LEADS" "$MAILS" 2> /dev/null
done | sort -t= -k3 -n | sed -n "$(((ROUNDS + 1) / 2))s/^/store: /p"
