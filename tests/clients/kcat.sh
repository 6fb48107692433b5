#!/usr/bin/env bash
# Debian's kcat, whose librdkafka is an old one (2.0.2 in Debian 12).
set -euo pipefail
suite_name=kcat
source "$(dirname "$0")/steps.sh"

k() { timeout 60 kcat -b "$bootstrap" "$@"; }
produce() { k -P "$@"; }
# Everything from the offset given to the end of partition 0.
consume() { k -C -q -e -p 0 "$@"; }

metadata() {
  k -L | grep '1 brokers'
  k -L -J | grep -F '"brokers":[{"id":1'
}

lines() { seq 1 "$1" | sed "s/.*/key-&:$2-line-&/"; }

round_trip() {
  local topic=kcat-$1
  lines 300 "$1" | produce -t "$topic" -p 0 -z "$1" -K : -H "codec=$1" -H empty= -X acks=all
  consume -t "$topic" -o beginning -f '%k:%s|%h|%o\n' >"$work/kcat.out"
  lines 300 "$1" | awk -v codec="$1" '{ print $0 "|codec=" codec ",empty=|" NR - 1 }' | cmp - "$work/kcat.out"
}

from_offset() {
  lines 300 snappy | sed -n '118,$p' | cmp - <(consume -t kcat-snappy -o 117 -K :)
  lines 300 snappy | tail -n 10 | cmp - <(consume -t kcat-snappy -o -10 -K :)
  is "from the end" "$(consume -t kcat-snappy -o end)" ""
  is "two records" "$(k -C -q -t kcat-snappy -p 0 -o 5 -c 2 -f '%o ')" "5 6 "
}

from_timestamp() {
  lines 100 before | produce -t kcat-time -p 0
  sleep 0.05
  local between=$(($(date +%s%N) / 1000000))
  sleep 0.05
  lines 100 after | produce -t kcat-time -p 0
  lines 100 after | sed 's/^/:/' | cmp - <(consume -t kcat-time -o "s@$between" -K :)
  lines 100 before | sed 's/^/:/' | cmp - <(k -C -q -e -t kcat-time -p 0 -o s@1 -o "e@$between" -K :)
  is "query by timestamp" "$(k -Q -t "kcat-time:0:$between")" "kcat-time [0] offset 100"
  is "query of the end" "$(k -Q -t kcat-time:0:-1)" "kcat-time [0] offset 200"
  is "query of the beginning" "$(k -Q -t kcat-time:0:-2)" "kcat-time [0] offset 0"
}

nothing() {
  printf ':\nkey:\n' | produce -t kcat-null -p 0 -Z -K :
  is lengths "$(consume -t kcat-null -o beginning -f '%K %S\n' | tr '\n' ' ')" "-1 -1 3 -1 "
}

acknowledgements() {
  for acks in 0 1 all; do seq 1 1000 | produce -t "kcat-acks-$acks" -p 0 -X "acks=$acks"; done
  # Nobody has waited for acks=0.
  for _ in $(seq 50); do
    is "acks=0" "$(k -Q -t kcat-acks-0:0:-1)" "kcat-acks-0 [0] offset 1000" && break
    sleep 0.1
  done
  for acks in 0 1 all; do seq 1 1000 | cmp - <(consume -t "kcat-acks-$acks" -o beginning); done
}

idempotent() {
  seq 1 20000 | produce -t kcat-idempotent -p 0 -X enable.idempotence=true -z lz4
  seq 1 20000 | cmp - <(consume -t kcat-idempotent -o beginning -X check.crcs=true)
}

large() {
  head -c 900000 /dev/zero | tr '\0' x >"$work/large"
  produce -t kcat-large -p 0 "$work/large"
  consume -t kcat-large -o beginning -f '%s' | cmp - "$work/large"
  head -c 1500000 /dev/zero | tr '\0' x >"$work/large"
  produce -t kcat-large -p 0 -X message.max.bytes=3000000 "$work/large" 2>"$work/kcat.out" && return 1
  grep 'Message size too large' "$work/kcat.out"
}

unknown_partition() {
  produce -t kcat-none -p 77 <<<x 2>"$work/kcat.out" && return 1
  grep 'Unknown partition' "$work/kcat.out"
}

step "metadata" metadata
for codec in none gzip snappy lz4 zstd; do step "keys, headers and offsets, $codec" round_trip $codec; done
step "from an offset, from the end" from_offset
step "from a timestamp, to a timestamp, queries" from_timestamp
step "null keys and values" nothing
step "acks 0, 1 and all" acknowledgements
step "idempotent" idempotent
step "a large record, and one too large" large
step "a partition that is not there" unknown_partition
finish
