# shellcheck shell=sh
# Runs inside the private copy of a base, as its root: adds packages from its own apt sources, then cleans up by finish.sh.
# From outside come PACKAGES, APT_OPTIONS (words), RESOLV_CONF, and the texts of finish.sh, trim-modules.sh, clean.sh and
# modules.txt as FINISH, TRIM_MODULES, CLEAN and MODULES.
#
# Exit status: 10 the apt sources cannot be read, 11 a package cannot be installed, 12 the clean-up failed.
set -eu
umask 022
# No initrd: the CVM has its own.
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true INITRD=No
export LC_ALL=C.UTF-8 HOME=/root TMPDIR=/tmp PATH=/usr/sbin:/usr/bin:/sbin:/bin

policy=/usr/sbin/policy-rc.d
if [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$policy.kept"; fi
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 0755 "$policy"
# Often a link into /run.
rm -f /etc/resolv.conf
printf '%s' "$RESOLV_CONF" > /etc/resolv.conf

# shellcheck disable=SC2086 # words
get() { apt-get -q -y $APT_OPTIONS "$@"; }

get update || exit 10
# shellcheck disable=SC2086 # words
get --no-install-recommends -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold install $PACKAGES || exit 11
get clean
find /var/lib/apt/lists -type f ! -name lock -delete

rm -f "$policy"
if [ -e "$policy.kept" ] || [ -L "$policy.kept" ]; then mv "$policy.kept" "$policy"; fi
# No running system is finished: it gets the copy at another place, without what is mounted in it.
mkdir /tmp/base /tmp/recipe
mount -o bind / /tmp/base
printf '%s' "$FINISH" > /tmp/recipe/finish.sh
printf '%s' "$TRIM_MODULES" > /tmp/recipe/trim-modules.sh
printf '%s' "$CLEAN" > /tmp/recipe/clean.sh
printf '%s' "$MODULES" > /tmp/recipe/modules.txt
chmod 0755 /tmp/recipe/*.sh
/tmp/recipe/finish.sh /tmp/base || exit 12
