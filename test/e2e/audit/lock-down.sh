#!/bin/sh
# The workload of a test: tries from inside of the container what must not be possible, as its root, and says how it went.
set -u

# try NAME COMMAND…: whether the command succeeds.
try() {
  name=$1
  shift
  if "$@" > /dev/null 2>&1; then echo "audit: $name: possible"; else echo "audit: $name: refused"; fi
}

value() {
  echo "audit: $1: $(sed -n "s/^$1:[[:space:]]*//p" /proc/self/status)"
}

writes() {
  echo "$1" > "$2"
}

# try_node NAME TYPE MAJOR MINOR: whether a node that can be made opens.
try_node() {
  node=/dev/audit-$2-$3-$4
  mknod "$node" "$2" "$3" "$4" || echo "audit: $1: no node"
  try "$1" timeout 5 dd "if=$node" of=/dev/null bs=512 count=1
}

clock_moves() {
  date -s '2001-01-01' && [ "$(date +%Y)" = 2001 ]
}

# A masked file is there and empty.
has_content() {
  [ "$(dd "if=$1" bs=1 count=1 | wc -c)" -gt 0 ]
}

value CapBnd
value CapEff
value Seccomp
# shellcheck disable=SC3045 # busybox has it
echo "audit: core dumps: $(ulimit -c), $(ulimit -H -c)"
echo "audit: /tmp lies in $(df -P /tmp | awk 'NR == 2 { print $6 }')"
echo "audit: root is $(sed -n 's/^[^ ]* \/ \([^ ]*\) .*/\1/p' /proc/mounts)"
echo "audit: secret: $(cat /user_data/secret), $(stat -c '%u %g' /user_data/secret)"
echo "audit: /dev holds $(find /dev -mindepth 1 -maxdepth 1 | sort | tr '\n' ' ')"
try 'a file in the root' writes x /written
try 'a file in /tmp' writes x /tmp/written
try_node 'a random device by a device node' c 1 9
disk=$(awk '$4 == "vda" { print $1, $2 }' /proc/partitions)
# shellcheck disable=SC2086 # two numbers
try_node 'reading a drive by a device node' b $disk
try_node 'reading memory by a device node' c 1 1
try_node 'the serial console by a device node' c 4 64
try_node 'the console by a device node' c 5 1
try_node 'a network tunnel by a device node' c 10 200
try 'mounting' mount -t tmpfs none /mnt
try 'remounting /applog with programs' mount -o remount,bind,exec /applog
try 'a user name space' unshare -U true
try 'a network name space' unshare -n true
try 'loading a module' insmod /tmp/written
try 'swap' swapon /tmp/written
try 'restarting' reboot -f
try 'the clock' clock_moves
try 'the host name' hostname other
try 'a kernel setting' writes 1 /proc/sys/kernel/sysrq
try 'SysRq' writes b /proc/sysrq-trigger
try 'a setting in /sys' writes mem /sys/power/state
try 'the kernel log' dmesg
try 'a raw socket' ping -c 1 -W 1 127.0.0.1
try 'the memory of the kernel' has_content /proc/kcore
try 'the firewall' ip link set lo down
try 'seeing processes outside' test -e /proc/2/comm
# A program of the image that would run as root of the VM, wherever it finds itself.
printf '#!/bin/sh\n: > /run/canary.ran; : > /applog/canary.txt; : > /run/cvm/workload/rootfs/applog/canary.txt\n' > /canary
chmod 755 /canary
try 'a program for crashes' writes '|/run/cvm/workload/rootfs/canary' /proc/sys/kernel/core_pattern
try 'a program for modules' writes /run/cvm/workload/rootfs/canary /proc/sys/kernel/modprobe
try 'a program for devices' writes /run/cvm/workload/rootfs/canary /sys/kernel/uevent_helper
try 'the pipe of the log' chmod 0666 /proc/self/fd/1
sh -c 'kill -SEGV $$'
echo 'audit: ready'
until [ -e /applog/guest.done ]; do sleep 0.2; done
echo 'audit: end'
