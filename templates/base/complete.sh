# shellcheck shell=sh
# Runs inside the private copy of a base, as its root: adds packages from its own apt sources, then cleans up by finish.sh.
# From outside come PACKAGES, APT_OPTIONS (words), FINISH (text of finish.sh), MODULES (text of modules.txt), RESOLV_CONF.
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
# finish.sh empties /run, and needs its list before.
printf '%s' "$MODULES" > /tmp/modules.txt
CVM_MODULES=/tmp/modules.txt sh -c "$FINISH" finish.sh / || exit 12
