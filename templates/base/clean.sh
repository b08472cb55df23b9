#!/bin/sh
# clean.sh ROOT [FOLDER…]
#
# Removes from a system tree what names one installation (machine id, host keys, seeds, leases, logs) and what
# differs from one installation of the same packages to the next (caches, backups, dates). Each FOLDER, a path below ROOT
# such as tmp, is emptied as well. It needs a shell, find, sed and coreutils on the machine that runs it, starts
# nothing in ROOT, needs no chroot, and follows no symbolic link: a tree of unknown origin cannot lead it out of ROOT.
# Run it last, as whoever owns the tree, for real or under fakeroot. A second run changes nothing.
set -eu
if [ $# -lt 1 ] || [ ! -d "$1/usr" ]; then
  echo "usage: clean.sh ROOT [FOLDER...]; ROOT holds usr/" >&2
  exit 2
fi
cd -P -- "$1"
shift
if [ "$(pwd -P)" = / ]; then
  echo "clean.sh: not on the running system" >&2
  exit 2
fi

# Succeeds where each folder on the way to a path is one, and no symbolic link.
reachable() {
  way=$1
  while [ "$way" != "${way%/*}" ]; do
    way=${way%/*}
    if [ ! -d "$way" ] || [ -L "$way" ]; then return 1; fi
  done
}

# Removes what is at these paths.
drop() {
  for path; do
    if reachable "$path"; then rm -rf -- "$path"; fi
  done
}

# Removes what is in these folders.
drain() {
  for path; do
    if reachable "$path/."; then find "$path" -xdev -mindepth 1 -delete; fi
  done
}

# Removes what is below these folders and no folder: packages bring those.
drain_files() {
  for path; do
    if reachable "$path/."; then find "$path" -xdev ! -type d -delete; fi
  done
}

# The installation's identity and its secrets. systemd takes an empty machine-id for one to be made at each boot.
drop etc/machine-id var/lib/dbus/machine-id etc/hostname etc/resolv.conf etc/adjtime \
  var/lib/systemd/random-seed var/lib/systemd/credential.secret var/lib/urandom/random-seed
if reachable etc/.; then : > etc/machine-id; fi
if reachable etc/ssh/.; then find etc/ssh -maxdepth 1 -name 'ssh_host_*' -delete; fi
drain var/lib/cloud var/lib/dhcp var/lib/NetworkManager var/log/journal

# What running leaves behind.
drain_files var/log var/cache
drain run var/tmp var/crash var/lib/systemd/coredump "$@"
drop root/.bash_history root/.wget-hsts root/.lesshst root/.cache

# Indexes that their programs make anew, and stamps of such runs. ld.so.cache is content: it stays.
drop var/lib/systemd/catalog/database etc/.updated var/.updated etc/.pwd.lock
if reachable usr/.; then find usr -xdev -type d -name __pycache__ -prune -exec rm -rf -- {} +; fi

# Lists, locks and backups of apt and dpkg. What names the installed packages stays.
drain var/lib/apt/lists
drop var/lib/dpkg/lock var/lib/dpkg/lock-frontend var/lib/dpkg/triggers/Lock var/lib/dpkg/available \
  var/lib/dpkg/status-old var/lib/dpkg/diversions-old var/lib/dpkg/statoverride-old

# Accounts: backups, and the day of the last change of a password (field 3 of shadow(5); empty means unused).
drop etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid-
if reachable etc/shadow && [ -f etc/shadow ] && [ ! -L etc/shadow ]; then
  dateless=$(sed 's/^\([^:]*:[^:]*:\)[^:]*/\1/' etc/shadow)
  printf '%s\n' "$dateless" > etc/shadow
fi
