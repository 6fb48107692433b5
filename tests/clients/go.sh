#!/usr/bin/env bash
# Three clients in Go: franz-go, sarama, segmentio/kafka-go. go.mod pins their versions.
set -euo pipefail
(cd "$(dirname "$0")/go" && mkdir -p "$work/go" && go build -mod=readonly -o "$work/go" ./franz ./sarama ./segmentio)
status=0
for client in franz sarama segmentio; do timeout 300 "$work/go/$client" "$bootstrap" || status=1; done
exit $status
