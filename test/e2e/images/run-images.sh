#!/bin/sh
# Runs the images of the parity test, one after the other, each by the configuration that the builder made for it; then
# lists each one's tree as root. Before the workload, in the sealed system: the test puts it there.
set -u
[ ! -e /run/cvm/parity ] || exit 0
: > /run/cvm/parity
for bundle in /usr/lib/systemd/system/parity/*/; do
  name=${bundle%/}
  name=${name##*/}
  /usr/lib/cvm/attach-mounts "/run/cvm/workload/rootfs/images/$name" /usr/lib/cvm/workload/mount-points /run/cvm/user-namespace > "/applog/$name.attach" 2>&1
  for part in run list; do
    mkdir -p "/run/cvm/parity.d/$name-$part"
    cp "$bundle$part.json" "/run/cvm/parity.d/$name-$part/config.json"
    umask 0
    crun --cgroup-manager=cgroupfs run --bundle "/run/cvm/parity.d/$name-$part" "$name-$part" > "/applog/$name.$part" 2>&1
    echo "exit $?" >> "/applog/$name.$part"
  done
done
# What the containers mounted is not here.
stat -c '%F' /run/cvm/etc/hosts /run/cvm/etc/hostname /run/cvm/etc/resolv.conf > /applog/etc.txt
