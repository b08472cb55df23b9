#!/bin/sh
# finish.sh ROOT
#
# mmdebstrap's customize hook: makes a base of the freshly installed system ROOT. CVM_MODULES is the list of
# kernel modules to keep.
set -eu
root=$1
here=$(dirname -- "$0")
kernel=$(basename "$(find "$root/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)")

"$here/trim-modules.sh" "$root" "$CVM_MODULES" "$kernel"

# One kernel, under names that do not change with its release. The initrd is the builder's own.
cp "$root/boot/vmlinuz-$kernel" "$root/boot/vmlinuz"
cp "$root/boot/config-$kernel" "$root/boot/config"
rm -f "$root"/boot/*-"$kernel" "$root"/initrd.img* "$root"/vmlinuz*

# shellcheck disable=SC2016 # dpkg-query fills in these names
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\n' | LC_ALL=C sort > "$root/usr/share/cvm-packages.tsv"

# Not /tmp: mmdebstrap keeps its apt configuration there until the end, and empties it itself.
"$here/clean.sh" "$root"
