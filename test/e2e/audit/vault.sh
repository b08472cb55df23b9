#!/bin/sh
# The workload of a test: works with the vault as far as the file `stage` on user_data says.
set -u
tries=0

say() {
  echo "audit: $*"
}

# timed WORDS COMMAND…: how long it takes, for whoever wants to compare; no test does.
timed() {
  words=$1
  shift
  read -r from _ < /proc/uptime
  "$@" || say "$words: failed"
  read -r to _ < /proc/uptime
  say "time: $words: $(awk "BEGIN { print $to - $from }") s"
}

# A file whose every line is the same, so that whatever else is read shows.
write_probe() {
  yes 0123456789abcde | dd of="$1" bs=1M count="$2" iflag=fullblock conv=fsync 2> /dev/null
}

say "vault: $(stat -c '%u:%g' /vault), workspace: $(stat -c '%u:%g %a' /vault/workspace)"
case $(cat /user_data/stage) in
  first)
    mkdir -p /vault/workspace/site-1/startup && say 'the workspace can be written'
    echo kept > /vault/kept
    timed 'writing 32 MiB' write_probe /vault/measured 32
    sync
    ;;
  killed)
    say "kept: $(cat /vault/kept)"
    timed 'reading 32 MiB' dd if=/vault/measured of=/dev/null bs=1M
    write_probe /vault/probe 24
    sync
    # The host is told, and kills the VM while this goes on.
    count=0
    while :; do
      date >> /vault/workspace/written
      write_probe /vault/workspace/more 1
      count=$((count + 1))
      if [ "$count" -eq 3 ]; then
        sync
        nc 10.0.2.102 111 < /dev/null > /dev/null 2>&1 &
      fi
    done
    ;;
  read)
    say "kept: $(cat /vault/kept)"
    say "lines before the end: $(wc -l < /vault/workspace/written)"
    dd if=/vault/probe bs=4096 conv=noerror 2> /tmp/said > /tmp/read
    say "read errors: $(grep -c 'Input/output error' /tmp/said)"
    say "blocks read: $(($(stat -c %s /tmp/read) / 4096)) of $(($(stat -c %s /vault/probe) / 4096))"
    say "different lines: $(uniq /tmp/read | wc -l)"
    say "the measured file: $(uniq /vault/measured)"
    ;;
  fill)
    echo kept > /vault/kept
    timed 'writing 32 MiB' write_probe /vault/measured 32
    fallocate -l "$(df -Pk /vault | awk 'NR == 2 { print $4 }')k" /vault/big
    dd if=/dev/zero of=/vault/rest bs=4096 2>&1 | grep -o 'No space left on device' | sed 's/^/audit: filled: /'
    # Until the VM has seen it.
    until grep -q 'E55: the vault is' /applog/boot.log || [ "$((tries += 1))" -gt 60 ]; do sleep 1; done
    ;;
  full)
    timed 'reading 32 MiB' dd if=/vault/measured of=/dev/null bs=1M
    echo more > /vault/more || say 'the vault takes no more'
    say "kept: $(cat /vault/kept)"
    ;;
esac
say end
