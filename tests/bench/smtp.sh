#!/bin/bash
# The SMTP client against Postfix's smtp-source -d, 32 connections into the same smtp-sink: the
# medians of several rounds in turn, and their ratio. At least 1.3 is the aim.
# BUILD, ROUNDS (5), MAILS (40000), SIZE (1024), CONNECTIONS (32).
set -eu
: "${BUILD:=build}" "${ROUNDS:=5}" "${MAILS:=40000}" "${SIZE:=1024}" "${CONNECTIONS:=32}"
PATH=$PATH:/usr/sbin

command -v smtp-source > /dev/null && command -v smtp-sink > /dev/null || {
	echo "smtp: skipped: smtp-source and smtp-sink of the package postfix are missing" >&2
	[ "${CI:-}" != true ]
	exit
}

port=$(/usr/bin/python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
user=
[ "$(id -u)" != 0 ] || user='-u nobody'
# shellcheck disable=SC2086
smtp-sink $user -m 1024 "127.0.0.1:$port" 1024 &
sink=$!
trap 'kill $sink' EXIT
for _ in $(seq 100); do
	(: < "/dev/tcp/127.0.0.1/$port") 2> /dev/null && break
	sleep 0.05
done

# Mails a second of a command, its start and end included.
rate() {
	local start
	start=$(date +%s%N)
	"$@" > /dev/null
	echo $((MAILS * 1000000000 / ($(date +%s%N) - start)))
}

ours() {
	rate "$BUILD/bench-smtp_client" --connections "$CONNECTIONS" --mails "$MAILS" \
		--size "$SIZE" "smtp://127.0.0.1:$port"
}

theirs() {
	rate smtp-source -d -s "$CONNECTIONS" -m "$MAILS" -l "$SIZE" "127.0.0.1:$port"
}

median() {
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

a=() b=()
ours > /dev/null # the first round pays for everything that is cold
for _ in $(seq "$ROUNDS"); do
	a+=("$(ours)")
	b+=("$(theirs)")
done
us=$(median "${a[@]}") them=$(median "${b[@]}")
printf 'smtp: %d mails of %d bytes, %d connections: %d mails/s; smtp-source %d; ratio %s\n' \
	"$MAILS" "$SIZE" "$CONNECTIONS" "$us" "$them" \
	"$(awk "BEGIN { printf \"%.2f\", $us / $them }") (aim: 1.3)"
