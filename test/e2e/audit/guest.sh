#!/bin/sh
# Runs in the VM outside of the container, as root: a test plants it into the initrd of a development bundle, since
# nothing of the kind is in any bundle. Once the workload is ready it writes down what it sees, section by section.
set -u
until grep -qs '^audit: ready' /applog/workload.log; do sleep 0.2; done

section() {
  printf '== %s\n' "$1"
}

# Sockets that wait for someone, as "<protocol> <port>", in the form of /proc/net: address and port in hex.
listening() {
  for protocol in tcp tcp6; do
    awk -v "p=$protocol" 'NR > 1 && $4 == "0A" { sub(".*:", "", $2); print p, $2 }' "/proc/net/$protocol"
  done
  for protocol in udp udp6 raw raw6; do
    awk -v "p=$protocol" 'NR > 1 { sub(".*:", "", $2); print p, $2 }' "/proc/net/$protocol"
  done
  awk 'NR > 1 { print "packet", $4 }' /proc/net/packet
  # Flag 0x10000: it accepts connections.
  awk 'NR > 1 && $4 == "00010000" { print "unix", $8 }' /proc/net/unix
  [ ! -e /dev/vsock ] || echo 'vsock'
}

# Programs that run, and whether one reads a terminal; not this one and its children.
processes() {
  for folder in /proc/[0-9]*; do
    # The kernel's own threads have none.
    readlink "$folder/exe" > /dev/null || continue
    parent=$(awk '/^PPid:/ { print $2 }' "$folder/status")
    if [ "$parent" = $$ ] || [ "$folder" = "/proc/$$" ]; then continue; fi
    command=$(tr '\0' ' ' < "$folder/cmdline" | cut -d ' ' -f 1-2)
    input=$(readlink "$folder/fd/0")
    # The workload waits by sleeping.
    [ "${command%% *}" = sleep ] || printf '%s %s\n' "$command" "${input#/dev/}"
  done
}

settings() {
  for name in kernel/modules_disabled kernel/kexec_load_disabled kernel/sysrq kernel/ctrl-alt-del kernel/core_pattern \
    kernel/kptr_restrict kernel/unprivileged_bpf_disabled user/max_user_namespaces fs/protected_symlinks \
    fs/protected_hardlinks kernel/modprobe kernel/poweroff_cmd kernel/usermodehelper/bset kernel/usermodehelper/inheritable \
    net/ipv4/ip_unprivileged_port_start \
    net/ipv4/ip_forward net/ipv4/conf/all/accept_redirects net/ipv6/conf/all/accept_redirects; do
    printf '%s=%s\n' "$name" "$(tr '\t' ' ' < "/proc/sys/$name")"
  done
  printf 'lockdown=%s\n' "$(cat /sys/kernel/security/lockdown)"
  printf 'kexec_loaded=%s\n' "$(cat /sys/kernel/kexec_loaded)"
}

# The container's first process and a file that it made, by the VM's numbers of users.
container() {
  for folder in /proc/[0-9]*; do
    [ "$(tr '\0' ' ' < "$folder/cmdline" 2> /dev/null)" = '/bin/sh /audit ' ] || continue
    awk '/^[UG]id:/ { print tolower(substr($1, 1, 3)), $2, $3, $4, $5 }' "$folder/status"
  done
  printf 'file %s\n' "$(stat -c '%u %g' /run/cvm/workload/rootfs/tmp/written)"
}

# What each door answers when it is tried.
doors() {
  for unit in emergency.target rescue.service debug-shell.service getty@tty1.service ctrl-alt-del.target ssh.service; do
    systemctl start "$unit" > /dev/null 2>&1 && echo "$unit starts"
  done
  modprobe nfs 2> /dev/null && echo 'a module can be loaded'
  modprobe e1000e 2> /dev/null && echo 'a module can be loaded'
  # What the kernel sends to systemd at Ctrl-Alt-Del, and at the key for an emergency.
  kill -INT 1
  kill -WINCH 1
  echo tried
}

{
  section units
  systemctl list-units --all --full --plain --no-legend --no-pager | awk '{ print $1, $2, $3, $4 }'
  section unit-files
  systemctl list-unit-files --no-legend --no-pager | awk '{ print $1 }'
  section generated
  find /run/systemd/generator* /run/systemd/system /run/systemd/transient /etc/systemd/system -mindepth 1 2> /dev/null
  section processes
  processes | sort -u
  section listening
  listening | sort
  section modules
  cut -d ' ' -f 1 /proc/modules | sort
  section mounts
  # mountinfo: 5 mount point, 6 its options; after the dash type, source, the file system's options
  awk '{ i = 7; while ($i != "-") i++; print $5, $(i + 1), $6, $(i + 1) == "overlay" ? $(i + 3) : "" }' /proc/self/mountinfo
  section container
  container
  section canary
  find /run -maxdepth 1 -name 'canary.ran'
  section memory
  cat /sys/fs/cgroup/container.slice/memory.max
  awk '$1 == "MemTotal:" { print $2 * 1024 }' /proc/meminfo
  section settings
  settings
  section swap
  tail -n +2 /proc/swaps
  section accounts
  cut -d : -f 1,2 /etc/shadow
  section passwords
  cut -d : -f 2 /etc/passwd | sort -u
  section firewall
  nft list ruleset
  section doors
  doors
} > /applog/guest.txt 2> /applog/guest.err
# Past the firewall, as only root outside of the container can: the peer sees that frames do arrive.
busybox arping -c 1 -w 2 -I "$(cat /run/cvm/interface)" 10.0.2.78 >> /applog/guest.err 2>&1
# An early renewal of the address. It ends with resolv.conf written anew.
renewed() {
  [ -n "$(find /run/cvm/etc/resolv.conf -newer /run/audit)" ]
}
touch /run/audit
systemctl kill --signal=USR1 cvm-dhcp.service
tries=0
until renewed || [ "$tries" -eq 50 ]; do
  tries=$((tries + 1))
  sleep 0.2
done
{
  section renewed
  if renewed; then echo yes; fi
  ip -4 -o address show dev "$(cat /run/cvm/interface)" | awk '{ print $4 }'
} >> /applog/guest.txt
sync
: > /applog/guest.done
