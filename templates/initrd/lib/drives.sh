# shellcheck shell=sh
# Kernel file systems, modules, and the drives that the host can read and write.

# busybox's shell prefers its own applets to programs on the PATH: where its applet will not do, the program is
# called by its path. Its mount has no nosymfollow.
mount() {
  /usr/bin/mount -n "$@"
}

mount_kernel_filesystems() {
  mount -t proc -o nosuid,nodev,noexec proc /proc
  mount -t sysfs -o nosuid,nodev,noexec sysfs /sys
  mount -t devtmpfs -o nosuid,mode=0755 devtmpfs /dev
  mkdir -p /dev/pts /run
  mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs /run
  exec < /dev/null > /dev/console 2>&1
}

restrict_kernel() {
  umask 022
  echo 0 > /proc/sys/kernel/sysrq
  echo 0 > /proc/sys/kernel/ctrl-alt-del
  # The sealed system runs no systemd-sysctl: what is set here stays. It closes the rest itself (templates/site/lock).
  for setting in kernel/kexec_load_disabled=1 kernel/kptr_restrict=2 kernel/unprivileged_bpf_disabled=1 \
    fs/protected_symlinks=1 fs/protected_hardlinks=1; do
    echo "${setting#*=}" > "/proc/sys/${setting%=*}" 2> /dev/null || say "the kernel has no setting ${setting%=*}"
  done
}

# Every module that the CVM will ever need: loading is switched off before the workload starts.
load_modules() {
  while read -r module; do
    /usr/sbin/modprobe "$module" 2> /run/modprobe.err && continue
    case $module in
      sev_guest) [ "$kind" = development ] || say "module sev_guest: $(cat /run/modprobe.err)" ;;
      *) say "module $module could not be loaded: $(cat /run/modprobe.err)" ;;
    esac
  done < /etc/cvm/modules
}

# Drives are told apart by their virtio serial, never by their order.
find_drives() {
  rootfs='' applog='' user_config='' user_data=''
  tries=0
  while :; do
    for disk in /sys/block/vd*; do
      [ -r "$disk/serial" ] || continue
      serial=''
      read -r serial < "$disk/serial"
      device=/dev/${disk##*/}
      case $serial in
        rootfs) rootfs=$device ;;
        applog) applog=$device ;;
        user_config) user_config=$device ;;
        user_data) user_data=$device ;;
      esac
    done
    [ -z "$rootfs" ] || [ -z "$applog" ] || [ -z "$user_config" ] || [ -z "$user_data" ] || return 0
    tries=$((tries + 1))
    [ "$tries" -lt 50 ] || break
    sleep 0.1
  done
  # Without applog there is nowhere to write to but the console; the others are reported once there is a log.
  [ -n "$applog" ] || fail E10 'the drive applog is missing'
}

# Before the key is asked for: without one of them there is no use for it.
require_drives() {
  [ -n "$rootfs" ] || fail E40 'the drive rootfs is missing'
  [ -n "$user_config" ] || fail E60 'the drive user_config is missing'
  [ -n "$user_data" ] || fail E66 'the drive user_data is missing'
}

# A drive that the host can write: no device nodes, set-id files or programs, and no symbolic links, so that
# a planted link cannot lead a write elsewhere.
mount_host_drive() {
  device=$1 folder=$2 options=$3
  mkdir -p "$folder"
  mount -t ext4 -o "nosymfollow,nosuid,nodev,noexec,$options" "$device" "$folder" 2> /run/mount.err
}

mount_applog() {
  mount_host_drive "$applog" /applog rw,errors=remount-ro ||
    fail E11 "applog is not a usable ext4 drive: $(cat /run/mount.err)"
  if [ -L /applog/boot.log ] || { [ -e /applog/boot.log ] && [ ! -f /applog/boot.log ]; }; then
    fail E12 'applog/boot.log is not a regular file'
  fi
  (: >> /applog/boot.log) 2> /dev/null || fail E12 'applog/boot.log cannot be written'
  boot_log=/applog/boot.log
  (printf '%s' "${early_log:-}" >> "$boot_log") 2> /dev/null || fail E12 'applog/boot.log cannot be written: applog is full'
}

# The firmware adds initrd=initrd at an end of the command line; everything else must be what was measured.
check_command_line() {
  # All of it, not one line.
  found=$(cat /proc/cmdline)
  found=${found#initrd=initrd }
  found=${found% initrd=initrd}
  [ "$found" = "$cmdline" ] || fail E13 'the kernel command line is not the measured one'
}

# A clock before the build would make expired certificates valid again.
set_clock() {
  if [ "$(date +%s)" -lt "$build_time" ]; then
    date -u -s "@$build_time" > /dev/null
    say 'the clock was before the time of the build and has been set to it'
  fi
  # Once a boot: all lines count seconds since the start of the VM.
  say "it is $(date -u '+%Y-%m-%d %H:%M:%S') UTC, by a clock that the host sets"
}
