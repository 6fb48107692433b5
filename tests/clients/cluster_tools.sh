#!/usr/bin/env bash
# cluster_tools.sh OTTLA: Apache Kafka's command-line tools for clusters against three processes, brokers and
# controllers each: topics with replicas, reassignments, elections, the quorum, configs, and a broker's loss; then
# against a quorum whose voters change. Two to three minutes, most of it the start of Java.
set -euo pipefail
suite_name="Kafka's tools for clusters"
here=$(cd "$(dirname "$0")" && pwd)
source "$here/steps.sh"
ottla=$1
dir=$work/cluster
first_port=${CLUSTER_PORT:-29092}
tools=org.apache.kafka.tools
cluster_id=4L6g3nShT-eMCtK--X86sw
declare -A pids=()

port() { echo $((first_port + $1)); }
controller_port() { echo $((first_port + 100 + $1)); }

# properties NODE LINE...: a node's property file, with the lines that say where the quorum is.
properties() {
  local node=$1
  shift
  mkdir -p "$dir"
  {
    printf '%s\n' "process.roles=broker,controller" "node.id=$node" "controller.listener.names=CONTROLLER" \
      "listeners=PLAINTEXT://127.0.0.1:$(port "$node"),CONTROLLER://127.0.0.1:$(controller_port "$node")" \
      "log.dirs=$dir/data-$node" "broker.session.timeout.ms=15000" "replica.lag.time.max.ms=3000" \
      "metadata.log.max.record.bytes.between.snapshots=4000" "$@"
  } >"$dir/$node.properties"
}

start() {
  local node
  for node in "$@"; do
    : >"$dir/$node.out"
    "$ottla" server "$dir/$node.properties" >"$dir/$node.out" 2>"$dir/$node.err" &
    pids[$node]=$!
  done
  for node in "$@"; do wait_until "node $node is ready" is_ready "$node"; done
}

is_ready() {
  kill -0 "${pids[$1]}" 2>/dev/null || { cat "$dir/$1.err"; exit 1; }
  grep -q '^ready ' "$dir/$1.out"
}

stop() {
  local node
  for node in "$@"; do kill -TERM "${pids[$node]}"; done
  for node in "$@"; do
    timeout 60 tail --pid="${pids[$node]}" -f /dev/null || kill -9 "${pids[$node]}"
    wait "${pids[$node]}" || { echo "node $node ended badly"; cat "$dir/$node.err"; exit 1; }
    unset "pids[$node]"
  done
}

# crash NODE
crash() {
  kill -9 "${pids[$1]}"
  wait "${pids[$1]}" 2>/dev/null || true
  unset "pids[$1]"
}

trap 'for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done' EXIT

# wait_until WHAT COMMAND...: until the command succeeds, for a minute.
wait_until() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" >"$work/wait.out" 2>&1; do
    [ $SECONDS -lt $deadline ] || { echo "not within a minute: $what"; cat "$work/wait.out"; return 1; }
    sleep 0.1
  done
}

# refused PATTERN COMMAND...: the command fails, and says so.
refused() {
  local pattern=$1
  shift
  "$@" >"$work/refused.out" 2>&1 && { cat "$work/refused.out"; echo "not refused"; return 1; }
  grep "$pattern" "$work/refused.out" || { cat "$work/refused.out"; return 1; }
}

topics() { java_tool $tools.TopicCommand "${server[@]}" "$@"; }
configs() { java_tool kafka.admin.ConfigCommand "${server[@]}" "$@"; }
reassign() { java_tool $tools.reassign.ReassignPartitionsCommand "${server[@]}" "$@"; }
elect() { java_tool $tools.LeaderElectionCommand "${server[@]}" "$@"; }
quorum() { java_tool $tools.MetadataQuorumCommand "${server[@]}" "$@"; }
cluster() { java_tool $tools.ClusterTool "$@" "${server[@]}"; }

# describes PATTERN OPTION...: kafka-topics --describe has such a line.
describes() {
  local pattern=$1
  shift
  topics --describe "$@" | tee "$work/tool.out" | grep -P "$pattern" || { cat "$work/tool.out"; return 1; }
}

# describes_nothing OPTION...
describes_nothing() { is "kafka-topics --describe $*" "$(topics --describe "$@")" ""; }

every_broker() {
  local node
  for node in 1 2 3; do
    java_tool $tools.ClusterTool list-endpoints --bootstrap-server "127.0.0.1:$(port $node)" >"$work/tool.out"
    is "brokers as node $node knows them" "$(grep -c '127.0.0.1.*unfenced *broker' "$work/tool.out")" 3
  done
}

api_versions() {
  java_tool $tools.BrokerApiVersionsCommand "${server[@]}" >"$work/tool.out"
  is "brokers" "$(grep -c '^127.0.0.1:.* (id: [123] rack: null isFenced: false) -> ($' "$work/tool.out")" 3
  is "brokers that produce" "$(grep -c 'Produce(0): 0 to 13' "$work/tool.out")" 3
}

identity() {
  is "cluster id" "$(cluster cluster-id)" "Cluster ID: $cluster_id"
  refused "Broker ID 77 is not currently registered" cluster unregister --id 77
  java_tool $tools.FeatureCommand "${server[@]}" describe >"$work/tool.out"
  grep 'metadata.version.*FinalizedVersionLevel: 4.3-IV0' "$work/tool.out"
}

quorum_status() {
  quorum describe --status >"$work/tool.out"
  grep -E "^ClusterId: +$cluster_id$" "$work/tool.out"
  grep -E '^LeaderId: +[123]$' "$work/tool.out"
  is "voters" "$(grep CurrentVoters "$work/tool.out" | grep -o '"id"' | wc -l)" 3
  grep -E "CurrentVoters:.*CONTROLLER://127.0.0.1:$(controller_port 2)" "$work/tool.out"
  quorum describe --replication >"$work/tool.out"
  is "leaders" "$(grep -c Leader "$work/tool.out")" 1
  is "followers" "$(grep -c Follower "$work/tool.out")" 2
  quorum describe --replication --human-readable | grep 'ms ago'
}

# The controllers answer for themselves (KIP-919), whichever of them is asked.
by_controllers() {
  local node at
  for node in 1 2 3; do
    at=(--bootstrap-controller "127.0.0.1:$(controller_port $node)")
    java_tool $tools.MetadataQuorumCommand "${at[@]}" describe --status >"$work/tool.out"
    grep -E '^LeaderId: +[123]$' "$work/tool.out"
    java_tool $tools.ClusterTool list-endpoints "${at[@]}" >"$work/tool.out"
    is "controllers as node $node knows them" "$(grep -c '127.0.0.1.*controller' "$work/tool.out")" 3
  done
}

quorum_fixed() {
  refused "voters are fixed at kraft.version 0" \
    quorum remove-controller --controller-id 2 --controller-directory-id MvDxzVmcRsaTz33bUuRU6A
}

create() {
  topics --create --topic three --partitions 6 --replication-factor 3
  describes 'PartitionCount: 6\tReplicationFactor: 3' --topic three
  local node
  for node in 1 2 3; do is "led by $node" "$(grep -c "Leader: $node" "$work/tool.out")" 2; done
  topics --create --topic placed --replica-assignment 1:2,2:3,3:1
  describes 'Partition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1,2\tElr: \tLastKnownElr: $' --topic placed
  topics --create --topic moved --replica-assignment 1:2,1:2,2:1,2:1
}

create_refused() {
  refused "includes broker 9, but no such broker is registered" topics --create --topic no --replica-assignment 1:9
  refused "replication factor of 4 cannot be reached because only 3 broker" \
    topics --create --topic no --partitions 1 --replication-factor 4
  refused "includes broker 9, but no such broker is registered" \
    topics --alter --topic placed --partitions 4 --replica-assignment 1:2,2:3,3:1,1:9
  refused "currently has 3 partition(s); 2 would not be an increase" topics --alter --topic placed --partitions 2
}

alter() {
  topics --alter --topic three --partitions 9
  describes 'PartitionCount: 9' --topic three
  topics --alter --topic placed --partitions 4 --replica-assignment 1:2,2:3,3:1,3:2
  describes 'Partition: 3\tLeader: 3\tReplicas: 3,2' --topic placed
}

all_is_well() {
  describes_nothing --under-replicated-partitions
  describes_nothing --unavailable-partitions
  describes_nothing --under-min-isr-partitions
  # Two replicas, and two are needed.
  is "at the minimum" "$(topics --describe --at-min-isr-partitions | grep -vc 'Topic: \(placed\|moved\)')" 0
}

broker_configs() {
  local one=(--entity-type brokers --entity-name 2) all=(--entity-type brokers --entity-default)
  local rate=leader.replication.throttled.rate
  configs "${one[@]}" --alter --add-config $rate=1000000
  configs "${one[@]}" --describe | grep "$rate=1000000.*DYNAMIC_BROKER_CONFIG"
  configs "${one[@]}" --alter --delete-config $rate
  is "configs of broker 2" "$(configs "${one[@]}" --describe)" "Dynamic configs for broker 2 are:"
  configs "${all[@]}" --alter --add-config $rate=2000000
  configs "${all[@]}" --describe | grep "$rate=2000000.*DYNAMIC_DEFAULT_BROKER_CONFIG"
  configs "${all[@]}" --alter --delete-config $rate
  configs "${all[@]}" --describe >"$work/tool.out"
  ! grep $rate "$work/tool.out"
  configs --entity-type brokers --entity-name 3 --describe --all | grep 'node.id=3'
}

topic_configs() {
  local topic=(--entity-type topics --entity-name three)
  configs "${topic[@]}" --alter --add-config min.insync.replicas=3
  describes 'Topic: three\tPartition: 0' --at-min-isr-partitions
  configs "${topic[@]}" --alter --add-config min.insync.replicas=1
  configs "${topic[@]}" --describe | grep 'min.insync.replicas=1.*DYNAMIC_TOPIC_CONFIG'
}

fill() {
  java_tool $tools.ProducerPerformance --topic moved --num-records 20000 --record-size 100 --throughput -1 \
    "${server[@]}" --command-property acks=all | grep '^20000 records sent'
}

plan() {
  echo '{"version":1,"topics":[{"topic":"moved"}]}' >"$work/topics.json"
  reassign --generate --topics-to-move-json-file "$work/topics.json" --broker-list 2,3 >"$work/tool.out"
  grep -A1 '^Current partition' "$work/tool.out" | tail -n 1 >"$work/back.json"
  grep -A1 '^Proposed partition' "$work/tool.out" | tail -n 1 >"$work/plan.json"
  grep '"replicas":\[[23],[23]\]' "$work/plan.json"
  grep '"replicas":\[1,2\],"log_dirs":\["/.*data-1","/.*data-2"\]' "$work/back.json"
}

move() {
  reassign --execute --reassignment-json-file "$work/plan.json" --throttle 100000000 >"$work/tool.out"
  grep 'The inter-broker throttle limit was set to 100000000 B/s' "$work/tool.out"
  grep 'Successfully started partition reassignments for moved-0,moved-1,moved-2,moved-3' "$work/tool.out"
  wait_until "all is moved" moved
  # The first to see that takes the throttle away.
  configs --entity-type topics --entity-name moved --describe >"$work/tool.out"
  ! grep throttled "$work/tool.out"
  configs --entity-type brokers --entity-name 2 --describe >"$work/tool.out"
  ! grep throttled "$work/tool.out"
  is "under way" "$(reassign --list)" "No partition reassignments found."
  is "on broker 1" "$(topics --describe --topic moved | grep -cP 'Replicas: [^\t]*1')" 0
}

moved() {
  reassign --verify --reassignment-json-file "$work/plan.json" >"$work/tool.out"
  is "completed" "$(grep -c 'Reassignment of partition moved-[0-3] is completed.' "$work/tool.out")" 4
}

move_refused() {
  echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,9]}]}' >"$work/bad.json"
  refused "Unknown broker id 9" reassign --execute --reassignment-json-file "$work/bad.json"
  echo '{"version":1,"partitions":[{"topic":"moved","partition":0,"replicas":[2,2]}]}' >"$work/bad.json"
  refused "may not contain duplicate entries" reassign --execute --reassignment-json-file "$work/bad.json"
}

log_dirs() {
  java_tool $tools.LogDirsCommand "${server[@]}" --describe --topic-list three | tail -n 1 >"$work/tool.out"
  local node
  for node in 1 2 3; do grep "\"broker\":$node,.*\"logDir\":\"$dir/data-$node\"" "$work/tool.out"; done
  is "replicas" "$(grep -o '"partition":"three-[0-8]","size":[0-9]*,"offsetLag":0,"isFuture":false' "$work/tool.out" | wc -l)" 27
}

# Broker 3 is down and has its session yet: a replica that it is given is not in sync, so that the move goes on.
cancel() {
  echo '{"version":1,"partitions":[{"topic":"placed","partition":0,"replicas":[1,3]}]}' >"$work/stuck.json"
  reassign --execute --reassignment-json-file "$work/stuck.json" | grep 'Successfully started'
  reassign --list | grep 'placed-0: replicas: 1,3,2. adding: 3. removing: 2.'
  describes 'Partition: 0\tLeader: 1\tReplicas: 1,3,2\tIsr: 1,2\t' --topic placed
  reassign --verify --reassignment-json-file "$work/stuck.json" --preserve-throttles |
    grep 'Reassignment of partition placed-0 is still in progress'
  reassign --cancel --reassignment-json-file "$work/stuck.json" |
    grep 'Successfully cancelled partition reassignments\? for: placed-0'
  is "under way" "$(reassign --list)" "No partition reassignments found."
  describes 'Partition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 1,2' --topic placed
}

one_is_lost() {
  wait_until "partitions are under-replicated" describes 'Topic: three.*Isr: (1,2|2,1)\t' --under-replicated-partitions
  wait_until "those led by broker 3 are led by others" describes_nothing --unavailable-partitions
  describes 'Topic: placed\tPartition: 1\tLeader: 2\tReplicas: 2,3\tIsr: 2\tElr: 3' --under-min-isr-partitions
}

preferred() {
  wait_until "all are in sync" describes_nothing --under-replicated-partitions
  elect --election-type preferred --all-topic-partitions | tee "$work/tool.out"
  wait_until "broker 3 leads what it is preferred for" \
    describes 'Partition: 2\tLeader: 3\tReplicas: 3,1' --topic placed
  elect --election-type preferred --topic placed --partition 2 | grep 'Valid replica already elected'
  refused "UnknownTopicOrPartitionException" elect --election-type preferred --topic nope --partition 0
}

# Broker 3 was behind, and broker 2 is lost. (The quorum needs two of three, which they are now.)
unclean() {
  wait_until "it is unavailable" describes 'Topic: lossy.*Leader: none.*Elr: 2\t' --unavailable-partitions
  elect --election-type unclean --topic lossy --partition 0 | grep 'Successfully completed leader election (UNCLEAN)'
  describes 'Leader: 3\tReplicas: 2,3\tIsr: 3\t' --topic lossy
}

both_in_sync() {
  wait_until "both are in sync" describes 'Leader: 3\tReplicas: 2,3\tIsr: (2,3|3,2)\t' --topic lossy
}

lossy() {
  topics --create --topic lossy --replica-assignment 2:3 --config min.insync.replicas=1
}

behind() {
  wait_until "broker 3 is out of sync" describes 'Leader: 2\tReplicas: 2,3\tIsr: 2\tElr: \t' --topic lossy
}

delete() {
  topics --delete --topic three
  topics --list >"$work/tool.out"
  ! grep -x three "$work/tool.out"
}

unregister() {
  cluster unregister --id 3 | grep 'Broker 3 is no longer registered'
  cluster list-endpoints --include-fenced-brokers >"$work/tool.out"
  is "brokers" "$(grep -c '127.0.0.1.*broker' "$work/tool.out")" 2
}

# Kafka's own reading of the metadata log and of a snapshot of it.
dump_metadata() {
  local log=$dir/data-1/__cluster_metadata-0
  wait_until "there is a snapshot" compgen -G "$log/0*[1-9]*.checkpoint"
  local snapshot
  snapshot=$(compgen -G "$log/0*.checkpoint" | tail -n 1)
  java_tool $tools.DumpLogSegments --cluster-metadata-decoder --files "$snapshot" >"$work/tool.out"
  grep '"type":"TOPIC_RECORD".*"name":"placed"' "$work/tool.out"
  ! grep -iE 'exception|could not|unknown' "$work/tool.out"
  java_tool $tools.DumpLogSegments --cluster-metadata-decoder --files "$log/$(ls "$log" | grep '\.log$' | tail -n 1)" \
    >"$work/tool.out"
  grep '"type":"REGISTER_BROKER_RECORD"' "$work/tool.out"
  ! grep -iE 'exception|could not|isvalid: false' "$work/tool.out"
}

three_processes() {
  local node voters="controller.quorum.voters="
  for node in 1 2 3; do voters+="$node@127.0.0.1:$(controller_port $node),"; done
  rm -rf "$dir"
  for node in 1 2 3; do
    properties $node "${voters%,}"
    "$ottla" storage format -t $cluster_id -c "$dir/$node.properties"
  done
  start 1 2 3
  server=(--bootstrap-server "127.0.0.1:$(port 1),127.0.0.1:$(port 2),127.0.0.1:$(port 3)")
}

# A quorum that begins with one controller, and whose voters stand in its log.
one_voter() {
  local node servers="controller.quorum.bootstrap.servers=127.0.0.1:$(controller_port 1)"
  rm -rf "$dir"
  for node in 1 2; do
    properties $node "$servers" default.replication.factor=2 min.insync.replicas=1
    "$ottla" storage format -t $cluster_id -c "$dir/$node.properties" \
      "$([ $node = 1 ] && echo --standalone || echo --no-initial-controllers)"
  done
  start 1
  start 2
  server=(--bootstrap-server "127.0.0.1:$(port 1)")
}

voters() {
  quorum describe --status | grep CurrentVoters | grep -o '"id": [0-9]*' | grep -o '[0-9]*$' | xargs
}

add_controller() {
  is "voters" "$(voters)" 1
  quorum --command-config "$dir/2.properties" add-controller | grep 'Added controller 2'
  is "voters" "$(voters)" "1 2"
  quorum describe --status | grep "CONTROLLER://127.0.0.1:$(controller_port 2)"
  refused "DuplicateVoterException" quorum --command-config "$dir/2.properties" add-controller
}

remove_controller() {
  local id
  id=$(sed -n 's/^directory.id=//p' "$dir/data-2/meta.properties")
  refused "VoterNotFoundException" \
    quorum remove-controller --controller-id 2 --controller-directory-id MvDxzVmcRsaTz33bUuRU6A
  quorum remove-controller --controller-id 2 --controller-directory-id "$id" | grep "Removed.*controller 2"
  is "voters" "$(voters)" 1
}

three_processes >"$work/cluster.out" 2>&1 || { cat "$work/cluster.out"; exit 1; }
step "kafka-cluster list-endpoints by way of each broker" every_broker
step "kafka-broker-api-versions" api_versions
step "kafka-cluster cluster-id, unregister; kafka-features" identity
step "kafka-metadata-quorum describe" quorum_status
step "kafka-metadata-quorum, kafka-cluster by way of each controller" by_controllers
step "kafka-metadata-quorum where voters are fixed" quorum_fixed
step "kafka-topics --create with replicas" create
step "kafka-topics with impossible replicas" create_refused
step "kafka-topics --alter" alter
step "kafka-topics --describe of nothing that is wrong" all_is_well
step "kafka-configs of a broker and of all" broker_configs
step "kafka-configs of a topic" topic_configs
step "kafka-producer-perf-test, acks=all" fill
step "kafka-reassign-partitions --generate" plan
step "kafka-reassign-partitions --execute, --verify with a throttle" move
step "kafka-reassign-partitions to impossible replicas" move_refused
step "kafka-log-dirs" log_dirs
crash 3
step "kafka-reassign-partitions --list, --cancel" cancel
step "kafka-topics --describe without one broker" one_is_lost
start 3
step "kafka-leader-election, preferred" preferred
step "kafka-topics --create of what may lose" lossy
crash 3
step "kafka-topics --describe of who is behind" behind
crash 2
start 3
step "kafka-leader-election, unclean" unclean
start 2
step "kafka-topics --describe of who has caught up" both_in_sync
step "kafka-topics --delete" delete
stop 3
step "kafka-cluster unregister of who is gone" unregister
start 3
step "kafka-cluster list-endpoints when it is back" wait_until "it is back" every_broker
step "kafka-dump-log of metadata log and snapshot" dump_metadata
stop 1 2 3
one_voter >"$work/cluster.out" 2>&1 || { cat "$work/cluster.out"; exit 1; }
step "kafka-metadata-quorum add-controller" add_controller
step "kafka-metadata-quorum remove-controller" remove_controller
stop 2
stop 1
finish
