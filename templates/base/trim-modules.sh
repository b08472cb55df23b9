#!/bin/sh
# trim-modules.sh ROOT LIST [RELEASE]
#
# Removes every module of a kernel that neither LIST names (modules.txt says its form) nor a named one needs, and
# writes the kernel's module indexes anew. RELEASE is the kernel's folder below ROOT/usr/lib/modules; the newest unless given. Fails
# where LIST asks for a module that the kernel neither has nor has built in. Runs the tree's own kmod by chroot, so it
# needs root, or a user name space that owns the tree, and is only for a tree whose programs may run here.
set -eu
if [ $# -lt 2 ] || [ ! -d "$1/usr/lib/modules" ] || [ ! -r "$2" ]; then
  echo "usage: trim-modules.sh ROOT LIST [RELEASE]; ROOT holds usr/lib/modules" >&2
  exit 2
fi
list=$(readlink -f -- "$2")
kernel=${3:-$(find "$1/usr/lib/modules" -mindepth 1 -maxdepth 1 -type d | sort -V | tail -n 1)}
kernel=${kernel##*/}
modules=usr/lib/modules/$kernel
cd -P -- "$1"
if [ ! -d "$modules/kernel" ]; then
  echo "$modules holds no kernel modules" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$list" | while read -r entry; do
  name=${entry#\?}
  if paths=$(chroot . modprobe --set-version "$kernel" --show-depends "$name" 2>&1); then
    printf '%s\n' "$paths" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
  elif [ "$name" = "$entry" ]; then
    echo "the kernel $kernel has no module $name" >&2
    exit 1
  fi
done > "$work/named"
sed -e 's|^/lib/|/usr/lib/|' -e 's|^/||' "$work/named" | LC_ALL=C sort -u > "$work/keep"
if [ ! -s "$work/keep" ]; then
  echo "no kernel module was kept" >&2
  exit 1
fi

find "$modules" -type f -name '*.ko*' | LC_ALL=C sort > "$work/all"
LC_ALL=C comm -23 "$work/all" "$work/keep" | tr '\n' '\0' | xargs -0r rm -f --
find "$modules" -type d -empty -delete
chroot . depmod "$kernel"
