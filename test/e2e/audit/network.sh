#!/bin/sh
# The workload of a test: knocks on what is open and on what is not, and waits for knocks. The peer counts frames by
# address and port, so each try has its own.
set -u
interface=$(for link in /sys/class/net/*; do [ ! -e "$link/device" ] || echo "${link##*/}"; done)
echo "audit: resolv.conf: $(tr '\n' ' ' < /etc/resolv.conf)"
echo "audit: host name: $(hostname)"

# tcp PEER PORT: what the peer says on connecting.
tcp() {
  echo "audit: $1 $2 says: $(nc -w 4 "$1" "$2" < /dev/null 2> /dev/null)"
}

tcp 10.0.2.101 443
tcp 10.0.2.101 444
tcp 10.0.2.2 53
tcp fec0::2 443
tcp fec0::2 445
# Name servers: the one that DHCP named, and two that it did not.
nslookup audit-named.example 10.0.2.3 > /dev/null 2>&1 &
named=$!
nslookup audit-other.example 10.0.2.2 > /dev/null 2>&1 &
other=$!
# Another port of UDP, and packets without a port.
timeout 3 tftp -g -r x -l /tmp/x 10.0.2.2 123 > /dev/null 2>&1
if ping -c 1 -W 2 10.0.2.2 > /dev/null 2>&1; then echo 'audit: ping works'; fi
if arping -c 1 -w 2 -I "$interface" 10.0.2.77 > /dev/null 2>&1; then echo 'audit: arping works'; fi
sleep 3
kill "$named" "$other" 2> /dev/null

# A server on a port that is not allowed first, so that it waits already when the allowed one answers.
nc -ll -p 8003 -e /bin/echo closed-8003 &
closed=$!
nc -ll -p 8002 -e /bin/echo open-8002 &
open=$!
echo 'audit: ready'
until [ -e /applog/guest.done ]; do sleep 0.2; done
# The test has seen enough when it connects here.
nc -l -p 8004 -e /bin/true
kill "$closed" "$open"
echo 'audit: end'
