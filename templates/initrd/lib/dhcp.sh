#!/bin/sh
# Called by udhcpc with what a DHCP server said: by InitApp's, and later by that of the sealed system. The server
# belongs to the host: every value is checked by its form before it is used, and names (host name, domain, boot file)
# are not used at all.
# shellcheck disable=SC2154 # udhcpc sets interface
set -uf

# An address of one machine: four numbers, none with a leading zero; not of this machine, not multicast, not reserved.
is_address() (
  case $1 in '' | *[!0-9.]* | .* | *. | *..*) exit 1 ;; esac
  IFS=.
  # shellcheck disable=SC2086 # its parts
  set -- $1
  [ $# -eq 4 ] || exit 1
  for part; do
    case $part in
      [0-9] | [1-9][0-9] | [1-9][0-9][0-9]) [ "$part" -le 255 ] || exit 1 ;;
      *) exit 1 ;;
    esac
  done
  [ "$1" -ne 0 ] && [ "$1" -ne 127 ] && [ "$1" -lt 224 ]
)

# The length of a network mask such as 255.255.254.0; fails where it is none.
prefix_length() (
  case $1 in '' | *[!0-9.]* | .* | *. | *..*) exit 1 ;; esac
  IFS=.
  # shellcheck disable=SC2086 # its parts
  set -- $1
  [ $# -eq 4 ] || exit 1
  length=0 ended=no
  for part; do
    case $part in
      255) bits=8 ;;
      254) bits=7 ;;
      252) bits=6 ;;
      248) bits=5 ;;
      240) bits=4 ;;
      224) bits=3 ;;
      192) bits=2 ;;
      128) bits=1 ;;
      0) bits=0 ;;
      *) exit 1 ;;
    esac
    [ "$ended" = no ] || [ "$bits" -eq 0 ] || exit 1
    [ "$bits" -eq 8 ] || ended=yes
    length=$((length + bits))
  done
  # A shorter one would make half of the Internet a neighbour.
  [ "$length" -ge 8 ] && printf '%s' "$length"
)

refuse() {
  echo "the DHCP server's $1 is not one" >&2
  exit 1
}

# What is there already stays as it is, and with it the workload's connections.
use_address() {
  if ! ip -4 addr show dev "$interface" | grep -qF " $1 "; then
    ip -4 addr flush dev "$interface"
    ip -4 addr add "$1" dev "$interface" || exit 1
  fi
}

# The first three, as many as resolv.conf holds: for the resolver, and for the firewall, which lets nothing else be asked.
use_resolvers() {
  resolvers='' count=0
  for server in $1; do
    case " $resolvers " in *" $server "*) continue ;; esac
    if [ "$count" -eq 3 ] || ! is_address "$server"; then continue; fi
    resolvers="$resolvers $server" count=$((count + 1))
  done
  {
    echo 'flush set inet cvm resolvers'
    for server in $resolvers; do echo "add element inet cvm resolvers { $server }"; done
  } | nft -f - || resolvers=
  for server in $resolvers; do echo "nameserver $server"; done > /run/cvm/etc/resolv.conf.new
  # Not by renaming: the container holds this very file.
  cat /run/cvm/etc/resolv.conf.new > /run/cvm/etc/resolv.conf
}

# "deconfig", at udhcpc's start and when a lease ends, takes nothing away: the host can cut the line at any time anyway,
# and a workload that has just begun to connect would fail.
case ${1:-} in
  bound | renew)
    is_address "${ip:-}" || refuse address
    prefix=$(prefix_length "${subnet:-255.255.255.0}") || refuse 'network mask'
    use_address "$ip/$prefix"
    router=${router:-}
    gateway=${router%% *}
    if is_address "$gateway"; then ip -4 route replace default via "$gateway" dev "$interface"; fi
    use_resolvers "${dns:-}"
    printf '%s' "$ip" > /run/cvm/address
    ;;
esac
exit 0
