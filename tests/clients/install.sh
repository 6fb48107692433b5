# Sourced: brings what the suites need that is not on the machine.
#
# Wants `work` (where everything is installed), `clients` (the directory of this file) and `libs` (Kafka's jars).

# command_from COMMAND PACKAGE...: the Debian packages that bring a command, unless it is there.
command_from() {
  command -v "$1" >/dev/null && return
  local command=$1 root=()
  shift
  [ "$(id -u)" = 0 ] || root=(sudo -n)
  if ! command -v apt-get >/dev/null; then echo "$command is missing, and so is apt-get to install it with"; exit 1; fi
  echo "== installing $*, for $command"
  [ -n "${apt_updated:-}" ] || "${root[@]}" apt-get update -qq
  apt_updated=1
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# once STAMP FILE COMMAND...: the command, unless it has succeeded before with this content of the file.
once() {
  local stamp=$work/$1.stamp file=$2
  shift 2
  cmp -s "$file" "$stamp" && return
  "$@"
  cp "$file" "$stamp"
}

install_python() {
  command_from python3 python3 python3-venv
  # Debian keeps what venv needs in a package of its own.
  python3 -c 'import ensurepip' 2>/dev/null || command_from no-ensurepip python3-venv
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  "$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$clients/python/requirements.txt"
}

install_jars() {
  rm -rf "$libs"
  mvn --quiet --batch-mode -f "$clients/java/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs"
}
