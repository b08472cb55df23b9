# shellcheck shell=dash
# shellcheck disable=SC3045 # busybox has read -t
# What the watch does to the VM: ask, log, power off. Each in a process of its own, which the host may stall.

# Programs that the VM runs from its sealed drive.
attempt() {
  reason=$(/usr/lib/cvm/attest/attest-again ./settings /usr/lib/cvm/attest/kbs-ca.pem /usr/lib/cvm/attest/kbs-client 3>&-)
  printf '%s %s %s\n' "$1" "$?" "$reason" >&3
}

# The same log as templates/initrd/lib/log.sh has.
say() {
  read -r uptime _ < /proc/uptime
  {
    printf 'cvm: [%s] %s\n' "$uptime" "$*" > /dev/console
    printf '[%s] %s\n' "$uptime" "$*" >> /applog/boot.log
  } 2> /dev/null &
}

# Stops the workload where it stands: the end of the VM waits for it otherwise, and it may ignore what it is told.
freeze_workload() {
  for control in /sys/fs/cgroup/container.slice/cgroup.freeze /sys/fs/cgroup/system.slice/cvm-workload.service/cgroup.freeze; do
    if [ -e "$control" ]; then echo 1 > "$control"; fi
  done
}

# end_vm CODE MESSAGE: says why, then powers off: in order if that is possible, in any case within a minute.
end_vm() {
  freeze_workload
  read -r port < /run/cvm/verdict-port
  {
    printf 'cvm: [%s] FAILED %s: %s; powering off\n' "$uptime" "$1" "$2" > /dev/console
    printf '[%s] FAILED %s: %s\n[%s] powering off\n' "$uptime" "$1" "$2" "$uptime" >> /applog/boot.log
    if [ -n "$port" ]; then printf '{"result":"failed","code":"%s","message":"%s"}\n' "$1" "$2" > "$port"; fi
    # SIGRTMIN+14: systemd kills what runs, unmounts and powers off.
    kill -48 1
  } 2> /dev/null &
  read -r -t 15 _ <&3
  kill -48 1
  read -r -t 45 _ <&3
  while :; do
    echo o > /proc/sysrq-trigger
    read -r -t 1 _ <&3
  done
}
