#!/bin/sh
# Runs inside mmdebstrap as its customize hook: $1 is the new root, CVM_MODULES the list of kernel modules
# to keep. Trims the kernel's modules to that list and removes what differs from one build to the next. On a base that it has
# finished before it does the same again (complete.sh, where $1 is /).
set -eu
root=$1
kernel=$(basename "$(find "$root/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)")
modules=$root/usr/lib/modules/$kernel

keep=$(mktemp)
trap 'rm -f "$keep"' EXIT
sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$CVM_MODULES" | while read -r entry; do
  name=${entry#\?}
  if paths=$(chroot "$root" modprobe --set-version "$kernel" --show-depends "$name" 2>&1); then
    printf '%s\n' "$paths" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  elif [ "$name" = "$entry" ]; then
    echo "the kernel $kernel has no module $name" >&2
    exit 1
  fi
done > "$keep.all"
sort -u "$keep.all" | sed 's|^/lib/|/usr/lib/|' > "$keep"
rm -f "$keep.all"
[ -s "$keep" ] || { echo "no kernel module was kept" >&2; exit 1; }

find "$modules/kernel" -type f -name '*.ko*' | while read -r file; do
  grep -qxF "${file#"$root"}" "$keep" || rm -f "$file"
done
find "$modules" -type d -empty -delete
chroot "$root" depmod "$kernel"

# The plain names stay where they are this kernel's already.
if [ -e "$root/boot/vmlinuz-$kernel" ]; then
  cp "$root/boot/vmlinuz-$kernel" "$root/boot/vmlinuz"
  cp "$root/boot/config-$kernel" "$root/boot/config"
fi
rm -f "$root"/boot/*-"$kernel" "$root"/initrd.img* "$root"/vmlinuz*
# shellcheck disable=SC2016 # dpkg-query fills in these names
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\n' | LC_ALL=C sort > "$root/usr/share/cvm-packages.tsv"

: > "$root/etc/machine-id"
rm -f "$root/var/lib/dbus/machine-id" "$root/etc/ssh"/ssh_host_* "$root/var/lib/systemd/random-seed" \
  "$root/etc/hostname" "$root/etc/resolv.conf" "$root/var/cache/ldconfig/aux-cache"
find "$root/var/log" "$root/var/cache" -type f -delete
# /tmp is mmdebstrap's own until the end: it keeps its apt configuration there, and empties it itself.
find "$root/run" -mindepth 1 -delete 2>/dev/null || true
