# shellcheck shell=sh
# What the scripts of the GPU share. `cvm` is the folder of the site layer's scripts.
# shellcheck source-path=SCRIPTDIR source=../workload.sh disable=SC2154
. "$cvm/workload.sh"

gpu_run=${gpu_run:-/run/cvm/gpu}
mkdir -p "$gpu_run"

# clean: standard input as one line of printable characters, short enough for a log and without what would end a JSON string.
clean() {
  tr '\n\t' '  ' | tr -d '"\134' | tr -cd '\40-\176' | cut -c 1-300 | sed 's/ *$//'
}

# refuse CODE MESSAGE: the unit fails, and with it the VM. Only the first cause is told.
refuse() {
  [ ! -e "$gpu_run/refused" ] || exit 1
  : > "$gpu_run/refused"
  say "FAILED $1: $2"
  verdict failed "$1" "$2"
  bounded sync
  exit 1
}
