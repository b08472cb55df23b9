#!/bin/sh
# Called by udhcpc with what a DHCP server said. The server belongs to the host: every value is checked by
# pattern before it is used, and names (hostname, domain, boot file) are not used at all.
set -u

is_address() {
  case $1 in *[!0-9.]*) return 1 ;; esac
  printf '%s' "$1" | grep -Eqx '([0-9]{1,3}\.){3}[0-9]{1,3}'
}

first_word() {
  printf '%s' "${1%% *}"
}

# shellcheck disable=SC2154 # udhcpc sets interface
case ${1:-} in
  deconfig) ip -4 addr flush dev "$interface" ;;
  bound | renew)
    is_address "${ip:-}" && is_address "${subnet:-255.255.255.0}" || exit 1
    ip -4 addr replace "$ip/$(busybox ipcalc -p "$ip" "${subnet:-255.255.255.0}" | sed -n 's/^PREFIX=\([0-9]*\)$/\1/p')" dev "$interface"
    gateway=$(first_word "${router:-}")
    if is_address "$gateway"; then ip -4 route replace default via "$gateway" dev "$interface"; fi
    for server in ${dns:-}; do
      if is_address "$server"; then printf 'nameserver %s\n' "$server"; fi
    done > /run/cvm/etc/resolv.conf.new
    cat /run/cvm/etc/resolv.conf.new > /run/cvm/etc/resolv.conf
    printf '%s' "$ip" > /run/cvm/address
    ;;
esac
exit 0
