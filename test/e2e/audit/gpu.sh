#!/bin/sh
# The workload of a test: says what it has of the GPU, and what it can do with it.
set -u

say() {
  echo "audit: $*"
}

# opens NAME: the word for it. Only the first open counts, not what the device would do.
opens() {
  if (: < "$1") 2> /dev/null; then echo opens; else (: < "$1") 2>&1 | sed 's/.*: //'; fi
}

for node in /dev/nvidia*; do say "node: $(busybox stat -c '%n %F %t:%T %a' "$node")"; done
say "the GPU $(opens /dev/nvidia237)"
# 10:236 is the kernel's /dev/mapper/control, beside 10:237, which stands for the GPU.
busybox mknod /tmp/beside c 10 236
say "the device beside it: $(opens /tmp/beside)"

library=/usr/lib/x86_64-linux-gnu/libcuda.so.570.172.08
say "library: $(cat "$library")"
{ echo x > "$library"; } 2> /dev/null && say 'the library can be written'
busybox awk -v "library=$library" '$5 == library { print "audit: mount: " $6 }' /proc/self/mountinfo
env | grep '^NVIDIA' | while read -r line; do say "variable: $line"; done
while read -r line; do say "hook: $line"; done < /hooks.txt
