# shellcheck shell=sh
# The boot log: every line goes to the console and, once applog is mounted, to /applog/boot.log.

boot_log=
verdict_port=
key_folder=/run/cvm-key

uptime_seconds() {
  read -r uptime _ < /proc/uptime
  printf '%s' "$uptime"
}

# The kernel's console; /dev/console is not there yet when the kernel starts us without one.
# Never fails: the host decides whether applog can be written, and must not steer anything by it. What came from
# outside (names on drives, words of programs) is stripped of control characters.
say() {
  line="[$(uptime_seconds)] $(printf '%s' "$*" | tr '\n' ' ' | tr -cd '\40-\176')"
  printf 'cvm: %s\n' "$line" > /dev/console 2> /dev/null
  if [ -n "$boot_log" ]; then
    printf '%s\n' "$line" >> "$boot_log" 2> /dev/null
  else
    early_log="${early_log:-}$line
"
  fi
  return 0
}

# Prints the last words of a failed program.
say_output() {
  tail -n 5 "$1" 2> /dev/null | head -c 4096 | while read -r text; do say "  $text"; done
  return 0
}

# fail CODE MESSAGE: the one way out when something is wrong. CODE is explained in docs/troubleshooting.md.
fail() {
  trap - EXIT
  say "FAILED $1: $2"
  say 'powering off'
  verdict failed "$1" "$2"
  rm -rf "$key_folder"
  sync
  if [ -n "$boot_log" ]; then umount /applog 2> /dev/null; fi
  poweroff -f
  echo o > /proc/sysrq-trigger
  while :; do sleep 60; done
}

# A development boot has a port of its own for the verdict, so that nothing is read off the console.
open_verdict_port() {
  [ "$kind" = development ] || return 0
  for name in /sys/class/virtio-ports/*/name; do
    [ -r "$name" ] || continue
    read -r text < "$name" || text=
    [ "$text" = cvm.verdict ] || continue
    port=${name%/name}
    verdict_port=/dev/${port##*/}
  done
}

verdict() {
  [ -n "$verdict_port" ] || return 0
  printf '{"result":"%s","code":"%s","message":"%s"}\n' "$1" "$2" \
    "$(printf '%s' "$3" | tr '\n' ' ' | tr -d '\\"' | tr -cd '\40-\176')" > "$verdict_port" 2> /dev/null
  return 0
}
