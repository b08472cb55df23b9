#!/bin/sh
# crun-starts.sh BASE BUNDLE COUNT: starts the container of BUNDLE by the crun of BASE, an unpacked base, COUNT times, and prints
# what crun said where a start failed. To be run as root in a mount namespace of its own. BUNDLE holds config.json, a
# root file system `rootfs` and the guest's script `user-namespace`.
set -eu
base=$1 bundle=$2 count=$3
mount --bind "$base" "$base"
mkdir -p "$base/proc" "$base/dev" "$base/sys"
for folder in proc dev; do mount --rbind "/$folder" "$base/$folder"; done
mount -t sysfs sysfs "$base/sys"
# crun takes no mixture of both versions, which the machine may have.
mount -t cgroup2 cgroup2 "$base/sys/fs/cgroup"
mount -t tmpfs tmpfs "$base/run"
mkdir -p "$base/run/cvm/workload" "$base/run/old"
cp -a "$bundle/rootfs" "$base/run/cvm/workload/rootfs"
chown -R 65536:65536 "$base/run/cvm/workload/rootfs"
cp "$bundle/config.json" "$bundle/user-namespace" "$base/run/"
cd "$base"
# No user namespace can be made in a mere chroot.
pivot_root . run/old
# shellcheck disable=SC2016 # for the shell in there
exec chroot . /bin/sh -c '
  umount -l /run/old
  /run/user-namespace /run/cvm/user-namespace 65536 4294901759
  for number in $(seq "$1"); do
    crun --cgroup-manager=disabled run --bundle /run "start-$number" > /run/said 2>&1 < /dev/null && grep -qx started /run/said && continue
    echo "start $number: $(cat /run/said)"
  done
  echo "$1 starts"' sh "$count"
