# shellcheck shell=sh
# What a container must not be able to do, and what it must, by the image's programs below /probe: exit status of each.
for program in /probe/call-*; do
  "$program"
  printf 'probe %s %s\n' "${program##*/call-}" $?
done
tried() {
  what=$1
  shift
  if "$@" > /dev/null 2>&1; then echo "tried $what worked"; else echo "tried $what failed"; fi
}
writes() { echo 0 > "$1"; }
listens() {
  nc -l -p "$1" &
  sleep 1
  kill $!
}
for node in 'vda b 254 0' 'sev-guest c 10 124' 'mem c 1 1' 'kmsg c 1 11' 'fuse c 10 229' 'console c 5 1' 'tun c 10 200'; do
  # shellcheck disable=SC2086 # name, type, major, minor
  set -- $node
  mknod "/probe/$1" "$2" "$3" "$4" 2> /dev/null || echo "cannot make $1"
  tried "reading $1" timeout 5 dd if="/probe/$1" of=/dev/null bs=1 count=1
done
tried 'reading /dev/urandom' dd if=/dev/urandom of=/dev/null bs=1 count=1
tried 'writing /proc/sys' writes /proc/sys/kernel/core_pattern
tried 'writing /proc/sysrq-trigger' writes /proc/sysrq-trigger
tried 'writing /sys' writes /sys/kernel/mm/ksm/run
tried 'writing /sys/fs/cgroup' mkdir /sys/fs/cgroup/more
tried 'writing /etc/hosts' writes /etc/hosts
tried 'writing /user_config' writes /user_config/new
tried 'writing /user_data' writes /user_data/new
tried 'writing /applog' writes /applog/parity-written
tried 'writing /vault' writes /vault/parity-written
tried 'running from /applog' sh -c 'cp /bin/busybox /applog/true && /applog/true'
rm -f /applog/true
interface=$(cd /sys/class/net && echo e*)
tried 'a packet socket' arping -c 1 -w 1 -I "$interface" 10.0.2.2
tried 'mount' mount -t tmpfs none /probe
tried 'listening at port 80' listens 80
printf 'masked %s\n' "$(for path in /sys/firmware /sys/kernel/config /proc/acpi /proc/scsi; do ls -A $path 2> /dev/null; done | wc -w)"
printf 'kcore %s\n' "$(wc -c < /proc/kcore)"
printf 'shm %s\n' "$(df -k /dev/shm | awk 'END { print $2 }')"
printf 'memory %s\n' "$(awk '/MemTotal/ { print $2 }' /proc/meminfo)"
printf 'hosts %s\n' "$(grep -c localhost /etc/hosts)"
printf 'resolver %s\n' "$(grep -c nameserver /etc/resolv.conf)"
