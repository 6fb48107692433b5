# Sourced by the scripts beside it: what is installed where, and steps that say how they went.
#
# Wants `work` (where everything is installed) and `bootstrap` (the broker) in the environment.
libs=$work/kafka-libs
passed=0
failed=0

# step NAME COMMAND...: one line of what came of it, and the command's output if it failed. A failed step does not
# end the script: `finish` does.
step() {
  local name=$1 status out
  shift
  out=$(mktemp "$work/step.XXXXXX")
  # Not after `||` or `if`: there bash would ignore the -e of the command's own shell.
  set +e
  (set -euo pipefail; "$@") >"$out" 2>&1
  status=$?
  set -e
  if [ $status = 0 ]; then
    passed=$((passed + 1))
    echo "ok    $suite_name: $name"
  else
    failed=$((failed + 1))
    echo "FAIL  $suite_name: $name (exit code $status)"
    tail -n 25 "$out" | sed 's/^/      /'
  fi
  rm -f "$out"
}

finish() {
  echo "$passed passed, $failed failed"
  exit $((failed > 0))
}

# is WHAT FOUND EXPECTED
is() { [ "$2" = "$3" ] || { echo "$1: found '$2', expected '$3'"; return 1; }; }

# A main class of Apache Kafka's jars.
java_tool() { timeout 120 java -Dorg.slf4j.simpleLogger.defaultLogLevel=error -cp "$libs/*" "$@"; }
