#!/usr/bin/env bash
# librdkafka.sh OTTLA: librdkafka's own tests, in full, without those that need groups, transactions, ACLs, TLS or
# SASL. About six minutes, and as much to build them the first time. With BOOTSTRAP, against that broker.
set -euo pipefail
suite_name=librdkafka
here=$(cd "$(dirname "$0")" && pwd)
source "$here/steps.sh"
source "$here/broker.sh"
source_dir=$work/librdkafka

tests="0001 0002 0003 0005 0007 0008 0011 0012 0013 0015 0016 0017 0021 0031 0034 0035 0036 0038 0039 0041 0044
  0048 0054 0057 0059 0063 0065 0068 0070 0073 0075 0086 0088 0112 0114 0123"
# Of the tests of the admin client (0081), these parts. Those about configs want group configs too, from Kafka 4.0 on.
admin_tests="do_test_CreateTopics do_test_DeleteTopics do_test_CreatePartitions do_test_DeleteRecords
  do_test_ListOffsets do_test_DescribeTopics do_test_DescribeCluster"
old_admin_tests="do_test_IncrementalAlterConfigs do_test_DescribeConfigs"

# The source, with its tests, is part of a crate.
build() {
  local fetch=$work/librdkafka-fetch
  mkdir -p "$fetch/src"
  printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n%s\n' \
    'rdkafka-sys = "=4.10.0"' >"$fetch/Cargo.toml"
  : >"$fetch/src/lib.rs"
  (cd "$fetch" && cargo vendor --quiet vendor >/dev/null)
  rm -rf "$source_dir"
  cp -r "$fetch/vendor/rdkafka-sys/librdkafka" "$source_dir"
  cd "$source_dir"
  ./configure --disable-lz4-ext
  make -j2 -C src libs
  make -j2 -C src-cpp libs
  make -j2 -C tests build
}

# one NAME LIMIT [VERSION]: a test by its number, as a broker of a version of Kafka. It may fail for want of time on a busy machine, so it has a second try.
one() {
  local name=$1 limit=$2 version=${3:-4.3.0}
  cd "$source_dir/tests"
  for _ in 1 2; do
    if RDKAFKA_TEST_CONF=$work/librdkafka.conf TEST_KAFKA_VERSION=$version TESTS=$name \
      LD_LIBRARY_PATH=../src:../src-cpp timeout -s KILL "$limit" ./test-runner -p1 -L -S >"$work/librdkafka.out" 2>&1; then
      # A run without failures may be one in which nothing ran.
      grep -aE "Test $name.* PASSED|$name[a-z_]* .*PASSED" "$work/librdkafka.out" && return
    fi
  done
  grep -a -A3 'TEST FAILURE' "$work/librdkafka.out" || tail -n 20 "$work/librdkafka.out"
  return 1
}

# In this shell, whose child the broker is.
check_files() {
  trap - EXIT
  if stop_server "$work/librdkafka-broker" >"$work/librdkafka.out" 2>&1; then
    step "kafka-dump-log over every file" true
  else step "kafka-dump-log over every file" eval 'cat "$work/librdkafka.out"; false'; fi
}

[ -x "$source_dir/tests/test-runner" ] || step "build" build
[ -x "$source_dir/tests/test-runner" ] || finish
if [ -z "${BOOTSTRAP:-}" ]; then
  start_server "$1" "$work/librdkafka-broker"
  trap 'kill -9 $server 2>/dev/null || true' EXIT
else server_address=$BOOTSTRAP; fi
printf '%s\n' "bootstrap.servers=$server_address" test.topic.random=true test.topic.prefix=x \
  broker.address.family=v4 >"$work/librdkafka.conf"
for name in $tests; do step "$name" one "$name" 200; done
for part in $admin_tests; do SUBTESTS=$part step "0081, $part" one 0081 200; done
for part in $old_admin_tests; do SUBTESTS=$part step "0081, $part" one 0081 200 3.9.0; done
if [ -z "${BOOTSTRAP:-}" ]; then check_files; fi
finish
