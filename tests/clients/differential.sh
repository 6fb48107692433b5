#!/usr/bin/env bash
# differential.sh OTTLA: the same requests to Apache Kafka and to Ottla, both fresh; their answers must not differ,
# save where differential/expected.py says why. About three minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite_name=differential
source "$here/steps.sh"
source "$here/broker.sh"

free_port() { "$work/venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start_kafka() {
  local dir=$work/kafka-broker broker controller
  broker=$(free_port) controller=$(free_port)
  rm -rf "$dir"
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$broker,CONTROLLER://127.0.0.1:$controller
log.dirs=$dir/data
num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
EOF
  java_tool kafka.tools.StorageTool format -t 4L6g3nShT-eMCtK--X86sw -c "$dir/server.properties" >/dev/null
  java -Xmx1g -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$libs/*" kafka.Kafka "$dir/server.properties" \
    >"$dir/out" 2>&1 &
  kafka=$!
  kafka_address=127.0.0.1:$broker
}

start_server "$1" "$work/differential-broker"
start_kafka
trap 'kill -9 $server $kafka 2>/dev/null || true' EXIT
for _ in $(seq 60); do
  (exec 3<>"/dev/tcp/${kafka_address/:/\/}") 2>/dev/null && break
  sleep 0.5
done
status=0
"$work/venv/bin/python" "$here/differential/compare.py" "$libs"/kafka-clients-*.jar "$kafka_address" "$server_address" ||
  status=1
trap 'kill -9 $kafka 2>/dev/null || true' EXIT
stop_server "$work/differential-broker" || status=1
exit $status
