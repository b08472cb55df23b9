#!/bin/sh
# The workload of a test: says what it finds below /user_data, before and after there is a share.
set -u

say() {
  echo "audit: $*"
}

mounts() {
  awk '$5 ~ /^\/user_data/ { for (i = 7; $i != "-"; i++); print $5, $(i + 1), $6 }' /proc/self/mountinfo |
    sed 's/^/audit: mount: /'
}

say "user_data: $(cd /user_data && echo *)"
if [ -e /user_data/mnt/data.csv ]; then say 'the share is there from the start'; fi
# The host is told that this runs; a server may come now.
timeout 5 nc 10.0.2.102 111 < /dev/null > /dev/null 2>&1
if [ "$(cat /user_data/stage)" = share ]; then
  tries=0
  until [ -e /user_data/mnt/data.csv ] || [ "$tries" -ge 120 ]; do
    sleep 1
    tries=$((tries + 1))
  done
  say "data: $(cat /user_data/mnt/data.csv)"
  cat /user_data/mnt/link > /dev/null 2>&1 && say 'a link is followed'
  /user_data/mnt/program > /dev/null 2>&1 && say 'a program runs'
  { echo x > /user_data/mnt/written; } 2> /dev/null && say 'the share can be written'
  # Connections to port 2049, by their own port; /proc/net has hex.
  awk 'NR > 1 && $3 ~ /:0801$/ { sub(".*:", "", $2); print $2 }' /proc/net/tcp | while read -r port; do
    say "from port $((0x$port))"
  done
fi
for name in /user_data/*; do
  case $name in
    */away | */pipe) say "$name: $(stat -c %F "$name"), $(timeout 5 cat "$name" 2>&1)" ;;
  esac
done
for name in /user_data/run /user_data/setuid; do
  if [ -e "$name" ]; then "$name" > /dev/null 2>&1 && say "$name runs"; fi
done
mounts
say end
