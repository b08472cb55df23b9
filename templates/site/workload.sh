# shellcheck shell=sh
# What the scripts around the workload share.
export LC_ALL=C

# shellcheck disable=SC2034 # read by the scripts
workload_root=/run/cvm/workload/rootfs

uptime_seconds() {
  read -r uptime _ < /proc/uptime
  printf '%s' "$uptime"
}

# say WORDS: to the boot log and the console, in the form of templates/initrd/lib/log.sh.
say() {
  line="[$(uptime_seconds)] $*"
  printf '%s\n' "$line" >> /applog/boot.log
  printf 'cvm: %s\n' "$line" > /dev/console
}

# verdict RESULT CODE MESSAGE: to the port of a development boot, where there is one.
verdict() {
  port=$(cat /run/cvm/verdict-port)
  [ -n "$port" ] || return 0
  printf '{"result":"%s","code":"%s","message":"%s"}\n' "$1" "$2" "$3" > "$port"
}

# used_of FOLDER: how full its file system is, in percent: blocks or inodes, whichever is worse.
used_of() {
  for unit in -Pk -Pi; do df "$unit" "$1"; done | awk '$5 ~ /%$/ && $5 + 0 > used { used = $5 + 0 } END { print used + 0 }'
}
