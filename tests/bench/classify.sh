#!/bin/bash
# The classification of one reply, in microseconds: the median of several rounds over tests/data, and of
# the worst text of 512 bytes. At most 20 is the aim. BUILD, ROUNDS (5).
set -eu
: "${BUILD:=build}" "${ROUNDS:=5}"

median() {
	printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"
}

replies=() worst=()
for _ in $(seq "$ROUNDS"); do
	read -r _ a _ b < <("$BUILD/bench-classify" tests/data/replies.tsv)
	replies+=("$a") worst+=("$b")
done
printf 'classify: %s us a reply, %s us the worst of 512 bytes (aim: 20)\n' \
	"$(median "${replies[@]}")" "$(median "${worst[@]}")"
