#!/bin/sh
# finish.sh ROOT
#
# mmdebstrap's customize hook: makes a base of the freshly installed system ROOT. modules.txt beside it lists the kernel
# modules to keep. A base that it has finished before is finished again (complete.sh).
set -eu
root=$1
here=$(dirname -- "$0")
kernel=$(basename "$(find "$root/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)")

"$here/trim-modules.sh" "$root" "$here/modules.txt" "$kernel"

# One kernel, under names that do not change with its release (Ubuntu's are links). The initrd is the builder's own.
if [ -e "$root/boot/vmlinuz-$kernel" ]; then
  cp --remove-destination "$root/boot/vmlinuz-$kernel" "$root/boot/vmlinuz"
  cp --remove-destination "$root/boot/config-$kernel" "$root/boot/config"
fi
rm -f "$root"/boot/*-"$kernel" "$root"/boot/*.old "$root"/boot/initrd.img "$root"/initrd.img* "$root"/vmlinuz*

# shellcheck disable=SC2016 # dpkg-query fills in these names
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' |
  LC_ALL=C sort > "$root/usr/share/cvm-packages.tsv"

# Where there is no apt, as in a base that is built, what it was told of mirrors is the build host's.
if [ ! -e "$root/usr/bin/apt-get" ]; then
  rm -rf "$root/var/cache/apt" "$root/var/lib/apt" "$root"/etc/apt/sources.list*
fi

# Not /tmp: mmdebstrap keeps its apt configuration there until the end, and empties it itself.
"$here/clean.sh" "$root"
