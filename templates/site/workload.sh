# shellcheck shell=sh
# What the scripts around the workload share.
export LC_ALL=C

# shellcheck disable=SC2034 # read by the scripts
workload_root=/run/cvm/workload/rootfs
# The file system in RAM that holds the container's writable layer.
# shellcheck disable=SC2034
workload_ram=/run/cvm/ram/workload

# Everything that is left of the container, also where its runtime was killed before it: five seconds at most.
end_container() {
  cgroup=/sys/fs/cgroup/container.slice
  tries=0
  while [ -e "$cgroup/cgroup.kill" ] && ! grep -qx 'populated 0' "$cgroup/cgroup.events" && [ "$tries" -lt 50 ]; do
    echo 1 > "$cgroup/cgroup.kill"
    sleep 0.1
    tries=$((tries + 1))
  done
}

uptime_seconds() {
  read -r uptime _ < /proc/uptime
  printf '%s' "$uptime"
}

# bounded COMMAND…: for five seconds at most. The host can stall a drive or the console, and the workload can put a pipe
# in the place of the log: neither holds up what comes after. What is stuck in the kernel cannot be killed, only left.
bounded() {
  "$@" 2> /dev/null &
  waited=0
  while kill -0 "$!" 2> /dev/null; do
    if [ "$waited" -eq 50 ]; then
      kill -9 "$!"
      return
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
}

write_to() {
  printf '%s\n' "$2" > "$1"
}

append_to() {
  printf '%s\n' "$2" >> "$1"
}

# say WORDS: to the boot log and the console, in the form of templates/initrd/lib/log.sh.
say() {
  line="[$(uptime_seconds)] $*"
  bounded append_to /applog/boot.log "$line"
  bounded write_to /dev/console "cvm: $line"
}

# verdict RESULT CODE MESSAGE: to the port of a development boot, where there is one.
verdict() {
  port=$(cat /run/cvm/verdict-port)
  [ -n "$port" ] || return 0
  bounded write_to "$port" "$(printf '{"result":"%s","code":"%s","message":"%s"}' "$1" "$2" "$3")"
}

# used_of FOLDER: how full its file system is, in percent: blocks or inodes, whichever is worse.
used_of() {
  for unit in -Pk -Pi; do df "$unit" "$1"; done | awk '$5 ~ /%$/ && $5 + 0 > used { used = $5 + 0 } END { print used + 0 }'
}
