#!/usr/bin/env bash
# Apache Kafka's command-line tools, one step each. What they need of groups is left out.
set -euo pipefail
suite_name="Kafka's tools"
source "$(dirname "$0")/steps.sh"
tools=org.apache.kafka.tools
server=(--bootstrap-server "$bootstrap")

topics() { java_tool $tools.TopicCommand "${server[@]}" "$@"; }
configs() { java_tool kafka.admin.ConfigCommand "${server[@]}" "$@"; }
offsets() { java_tool $tools.GetOffsetShell "${server[@]}" "$@"; }

api_versions() {
  java_tool $tools.BrokerApiVersionsCommand "${server[@]}" >"$work/tool.out"
  grep -q 'Produce(0): 0 to 13' "$work/tool.out"
  grep -q 'Fetch(1): 4 to 18' "$work/tool.out"
}

cluster() {
  java_tool $tools.ClusterTool cluster-id "${server[@]}" | grep -E '^Cluster ID: .{22}$'
  java_tool $tools.ClusterTool list-endpoints "${server[@]}" | grep broker
  java_tool $tools.FeatureCommand "${server[@]}" describe | grep 'metadata.version'
}

create() {
  topics --create --topic tools --partitions 2 --config retention.ms=123456789
  topics --list | grep -x tools
  topics --describe --topic tools | grep 'PartitionCount: 2.*retention.ms=123456789'
  topics --create --topic tools --if-not-exists
}

create_refused() {
  topics --create --topic tools >"$work/tool.out" 2>&1 && return 1
  grep "Topic 'tools' already exists" "$work/tool.out"
}

grow() {
  topics --alter --topic tools --partitions 3
  topics --describe --topic tools | grep 'PartitionCount: 3'
}

topic_configs() {
  local topic=(--entity-type topics --entity-name tools)
  configs "${topic[@]}" --alter --add-config max.message.bytes=2000000,cleanup.policy=delete
  configs "${topic[@]}" --describe | grep 'max.message.bytes=2000000'
  configs "${topic[@]}" --alter --delete-config max.message.bytes
  configs "${topic[@]}" --describe >"$work/tool.out"
  grep 'retention.ms=123456789' "$work/tool.out"
  ! grep 'max.message.bytes' "$work/tool.out"
  configs "${topic[@]}" --describe --all | grep 'max.message.bytes=1048588'
}

topic_configs_refused() {
  configs --entity-type topics --entity-name tools --alter --add-config max.message.bytes=-5 \
    >"$work/tool.out" 2>&1 && return 1
  grep InvalidConfigurationException "$work/tool.out"
}

broker_configs() {
  configs --entity-type brokers --entity-name 1 --describe --all | grep 'node.id=1'
  configs --entity-type brokers --entity-default --describe
}

console_producer() {
  seq 1 1000 | sed 's/.*/key-&:line-&/' >"$work/console.in"
  java_tool $tools.ConsoleProducer "${server[@]}" --topic console --compression-codec "$1" \
    --reader-property parse.key=true --reader-property key.separator=: <"$work/console.in"
}

console_consumer() {
  java_tool $tools.consumer.ConsoleConsumer "${server[@]}" --topic console --partition 0 --timeout-ms 20000 \
    --formatter-property print.key=true --formatter-property key.separator=: "$@" >"$work/console.out"
}

whole_console() {
  console_consumer --offset earliest --max-messages 5000 --isolation-level "$1"
  for _ in 1 2 3 4 5; do cat "$work/console.in"; done | cmp - "$work/console.out"
}

console_from_offset() {
  console_consumer --offset 4321 --max-messages 50
  sed -n 322,371p "$work/console.in" | cmp - "$work/console.out"
}

get_offsets() {
  is latest "$(offsets --topic console)" console:0:5000
  is earliest "$(offsets --topic console --time earliest)" console:0:0
  is "far future" "$(offsets --topic console --time 99999999999999)" ""
  is "far past" "$(offsets --topic console --time 1)" console:0:0
  offsets --topic-partitions console:0 --time max-timestamp | grep -E '^console:0:4[0-9]{3}$'
  is tiered "$(offsets --topic console --time earliest-local)" console:0:0
}

delete_records() {
  echo '{"version":1,"partitions":[{"topic":"console","partition":0,"offset":4000}]}' >"$work/delete.json"
  java_tool $tools.DeleteRecordsCommand "${server[@]}" --offset-json-file "$work/delete.json" |
    grep 'low_watermark: 4000'
  is earliest "$(offsets --topic console --time earliest)" console:0:4000
  console_consumer --offset earliest --max-messages 1000
  cmp "$work/console.in" "$work/console.out"
}

performance() {
  java_tool $tools.ProducerPerformance --topic performance --num-records 50000 --record-size 200 --throughput -1 \
    "${server[@]}" --command-property "acks=$1" --command-property "compression.type=$2" | grep '^50000 records sent'
}

verifiable() {
  java_tool $tools.VerifiableProducer "${server[@]}" --topic verifiable --max-messages 500 >"$work/tool.out"
  grep '"sent":500,"acked":500' "$work/tool.out"
}

delete_topic() {
  topics --delete --topic tools
  topics --list >"$work/tool.out"
  ! grep -x tools "$work/tool.out"
  topics --describe --topic tools >"$work/tool.out" 2>&1 && return 1
  grep "Topic 'tools' does not exist" "$work/tool.out"
}

step "kafka-broker-api-versions" api_versions
step "kafka-cluster, kafka-features" cluster
step "kafka-topics --create, --list, --describe" create
step "kafka-topics --create of what exists" create_refused
step "kafka-topics --alter" grow
step "kafka-configs of a topic" topic_configs
step "kafka-configs with a bad value" topic_configs_refused
step "kafka-configs of a broker" broker_configs
step "kafka-topics --create for the console" topics --create --topic console --partitions 1
for codec in none gzip snappy lz4 zstd; do
  step "kafka-console-producer, $codec" console_producer $codec
done
step "kafka-console-consumer from the beginning" whole_console read_uncommitted
step "kafka-console-consumer, read_committed" whole_console read_committed
step "kafka-console-consumer from an offset" console_from_offset
step "kafka-get-offsets" get_offsets
step "kafka-delete-records" delete_records
step "kafka-topics --create for performance" topics --create --topic performance --partitions 3
step "kafka-producer-perf-test, acks=all" performance all none
step "kafka-producer-perf-test, acks=1, lz4" performance 1 lz4
step "kafka-verifiable-producer, topic auto-created" verifiable
step "kafka-topics --delete" delete_topic
finish
