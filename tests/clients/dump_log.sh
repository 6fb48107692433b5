#!/usr/bin/env bash
# dump_log.sh DIRECTORY: Kafka's own reading of every segment, index and producer snapshot below a directory, and of
# the metadata log. Its tool says what it dislikes in words on standard output, so the words are what is looked for.
set -euo pipefail
suite_name=kafka-dump-log
source "$(dirname "$0")/steps.sh"
data=$1
complaints='exception|mismatch|corrupt|isvalid: false|not found|non-?consecutive|out of order|invalid|could not'

# dump PATTERN COUNTED OPTION...: all files of that name, as many at a time as one command line takes. At least one
# line must begin with COUNTED: a tool that has read nothing has found nothing wrong either.
dump() {
  local pattern=$1 counted=$2 out=$work/dump.out
  shift 2
  : >"$out"
  find "$data" -name "$pattern" "${where[@]}" | sort | xargs -r -n 200 | tr ' ' , | while read -r files; do
    java_tool org.apache.kafka.tools.DumpLogSegments "$@" --files "$files" >>"$out" 2>&1
  done
  # Topics may have any name, also one that sounds like a complaint.
  ! grep -vE '^Dumping |payload: ' "$out" | grep -nEi "$complaints"
  echo "$(grep -c "^Dumping" "$out") files, $(grep -cE "$counted" "$out") entries" | tee "$work/dump.count"
  grep -qE "$counted" "$out"
}

for metadata in "" "the metadata log: "; do
  if [ -z "$metadata" ]; then where=(-not -path '*__cluster_metadata*') decoder=(); else
    where=(-path '*__cluster_metadata*') decoder=(--cluster-metadata-decoder)
  fi
  step "${metadata}segments" dump '*.log' '^baseOffset: ' --deep-iteration "${decoder[@]}"
  cat "$work/dump.count"
  if [ -n "$(find "$data" -name '*.index' "${where[@]}" -size +0)" ]; then
    step "${metadata}offset indexes" dump '*.index' '^offset: '
    step "${metadata}time indexes" dump '*.timeindex' '^timestamp: '
  fi
done
where=(-not -path '*__cluster_metadata*')
step "producer snapshots" dump '*.snapshot' '^producerId: '
finish
