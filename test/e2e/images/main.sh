#!/bin/sh
# The workload of the parity bundle: fails once, so that the second run can say what the first one left.
set -u
echo "user $(id -u) $(id -g) $(id -G)"
echo "volume $(stat -c '%a %u' /data/volume)"
echo "opened again" > /dev/stdout
if [ ! -e /work/run ]; then
  echo first > /work/run
  echo first > /tmp/run
  echo first > /dev/shm/run
  # More than the writable layer holds: "no space left", never the end of the VM.
  if dd if=/dev/zero of=/work/fill bs=1M count=100000 2>&1; then echo 'it has no cap'; fi
  sleep 8
  rm /work/fill
  # More than one log holds: whole lines of 22 bytes.
  yes 'words of the workload' | head -c 176000000
  echo 'first run done' >&2
  exit 7
fi
echo "kept $(cat /work/run) $(cat /tmp/run) $(test -e /dev/shm/run && echo shm)"
echo 'second run done'
