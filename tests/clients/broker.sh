# Sourced: a broker of `ottla server`, with the four partitions that librdkafka's tests expect of a new topic.

# start_server BINARY DIRECTORY: sets server (its process id) and server_address.
start_server() {
  local binary=$1 dir=$2
  rm -rf "$dir"
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<EOF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9093
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:9093
log.dirs=$dir/data
num.partitions=4
default.replication.factor=1
min.insync.replicas=1
EOF
  "$binary" storage format -t 4L6g3nShT-eMCtK--X86sw -c "$dir/server.properties" >/dev/null
  : >"$dir/out"
  "$binary" server "$dir/server.properties" >"$dir/out" 2>"$dir/err" &
  server=$!
  for _ in $(seq 100); do
    server_address=$(sed -n 's/^ready //p' "$dir/out")
    [ -n "$server_address" ] && return
    kill -0 $server || { cat "$dir/err"; exit 1; }
    sleep 0.1
  done
  echo "the broker was not ready within 10 s"
  exit 1
}

# stop_server DIRECTORY: ends it in good order, and has Kafka read what it leaves.
stop_server() {
  local dir=$1
  kill -TERM $server
  timeout 60 tail --pid=$server -f /dev/null || kill -9 $server
  wait $server
  "$here/dump_log.sh" "$dir/data"
}
