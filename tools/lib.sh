# Sourced by the scripts in tools/: paths, messages, and one node that is always stopped again.
# shellcheck shell=bash
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.build/venv   # Python clients, made by tools/install
scratch=   # made by need_scratch
node_pid=  # of start_node
# shellcheck disable=SC2034
node_postgres=  # of start_node: HOST:PORT
configuration=debug   # of need_quire
export QUIRE_POSTGRES=${QUIRE_POSTGRES:-127.0.0.1:0}   # of every node that is started here
export PYTHONPATH=$root/tools/lib PYTHONDONTWRITEBYTECODE=1

say() { echo "== $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

# A directory that is removed at exit.
need_scratch() { [[ -n $scratch ]] || scratch=$(mktemp -d "${TMPDIR:-/tmp}/quire.XXXXXX"); }

# The binary under test: $QUIRE, or a build of this tree in $configuration.
need_quire() {
  if [[ -z ${QUIRE:-} ]]; then
    say "building quire ($configuration)"
    swift build --package-path "$root" -c "$configuration" --product quire >&2
    QUIRE=$(swift build --package-path "$root" -c "$configuration" --show-bin-path)/quire
  fi
  [[ -x $QUIRE ]] || fail "$QUIRE is not an executable"
  QUIRE=$(realpath "$QUIRE")
  export QUIRE
}

# Sets POWERLOSS_RECORDER: the library that makes faults and records what a node does to its files.
need_recorder() {
  local source=$root/tools/powerloss-src/record.c
  export POWERLOSS_RECORDER=$root/.build/tools/record.so
  mkdir -p "$root/.build/tools"
  [[ $source -nt $POWERLOSS_RECORDER ]] || return 0
  gcc -std=gnu17 -O1 -Wall -Wextra -D_LARGEFILE64_SOURCE -shared -fPIC -o "$POWERLOSS_RECORDER" "$source"
}

# start_node DATA [serve options]: sets node_pid, node_postgres, QUIRE_BOOTSTRAP and QUIRE_SERVER. Ports are free ones, read from the
# line in which the node says that it is ready.
start_node() {
  local data=$1 log ready=
  shift
  need_scratch
  log=$scratch/node.log
  "$QUIRE" serve --data-dir "$data" --listen 127.0.0.1:0 --http 127.0.0.1:0 "$@" 2>"$log" >/dev/null &
  node_pid=$!
  for _ in $(seq 300); do
    ready=$(sed -n 's/.*is ready: Kafka on \([^,]*\), HTTP on \([^,]*\), Postgres on \([^,]*\), data in.*/\1 \2 \3/p' "$log")
    [[ -n $ready ]] && break
    kill -0 "$node_pid" 2>/dev/null || { cat "$log" >&2; fail "the node did not start"; }
    sleep 0.1
  done
  [[ -n $ready ]] || { cat "$log" >&2; fail "the node was not ready after 30 s"; }
  local http
  read -r QUIRE_BOOTSTRAP http node_postgres <<<"$ready"
  export QUIRE_BOOTSTRAP QUIRE_SERVER=http://$http
}

# Stops the node of start_node with SIGTERM; its exit status is this function's.
stop_node() {
  [[ -n $node_pid ]] || return 0
  local pid=$node_pid
  node_pid=
  kill -TERM "$pid" 2>/dev/null || true
  wait "$pid"
}

tidy_up() {
  local status=$?
  if [[ -n $node_pid ]]; then kill -KILL "$node_pid" 2>/dev/null || true; wait "$node_pid" 2>/dev/null || true; fi
  if [[ -n $scratch ]]; then rm -rf "$scratch"; fi
  return $status
}
trap tidy_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
