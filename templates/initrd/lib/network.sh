# shellcheck shell=sh
# Firewall first, then the network: nothing is open for a moment in between.

load_firewall() {
  nft -f /etc/cvm/firewall.nft 2> /run/nft.err || fail E20 "the firewall could not be loaded: $(cat /run/nft.err)"
  say 'firewall loaded'
}

start_network() {
  mkdir -p /run/cvm/etc
  cp /etc/cvm/hosts /run/cvm/etc/hosts
  printf '%s\n' "$cvm_name" > /run/cvm/etc/hostname
  hostname "$cvm_name"
  : > /run/cvm/etc/resolv.conf
  ip link set lo up
  interface=
  tries=0
  while [ -z "$interface" ] && [ "$tries" -lt 50 ]; do
    for folder in /sys/class/net/*; do
      [ -e "$folder/device" ] && interface=${folder##*/} && break
    done
    [ -n "$interface" ] || sleep 0.1
    tries=$((tries + 1))
  done
  [ -n "$interface" ] || fail E21 'there is no network interface'
  printf '%s' "$interface" > /run/cvm/interface
  ignore_redirects
  ip link set "$interface" up
  udhcpc -i "$interface" -f -q -n -t 10 -T 2 -A 5 -S -s "$library/dhcp.sh" > /run/udhcpc.log 2>&1 ||
    fail E22 "no address by DHCP on $interface"
  [ -s /run/cvm/address ] || { say_output /run/udhcpc.log; fail E23 "no usable address by DHCP on $interface"; }
  say "network: $interface has $(cat /run/cvm/address)"
}

# The routes are those that DHCP and router advertisements gave; no neighbour changes them afterwards, or names the way.
ignore_redirects() {
  for setting in /proc/sys/net/ipv[46]/conf/*/accept_redirects /proc/sys/net/ipv[46]/conf/*/accept_source_route \
    /proc/sys/net/ipv4/conf/*/send_redirects; do
    echo 0 > "$setting" 2> /dev/null
  done
  return 0
}
