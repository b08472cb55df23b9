# shellcheck shell=sh
# Makes the folder `root` of the working directory the whole file system, and runs a shell script of it there.
# Run by a static busybox, in user, mount and PID namespaces of its own: no program or library of the image is run
# while the host's files can still be seen.
#
#   busybox sh -c "$(cat enter.sh)" enter.sh SCRIPT
#
# The working directory lies where this user cannot look up the way to, so it is bound to a place where he can.
set -eu
script=$1
# What the caller's shell had open is not for the image.
for file in /proc/self/fd/*; do
  number=${file##*/}
  if [ "$number" -gt 2 ]; then eval "exec $number>&-"; fi
done
mount -t tmpfs -o mode=0755 tmpfs /tmp
mkdir /tmp/root
mount -o bind root /tmp/root
cd /tmp/root

for folder in dev proc run sys tmp; do
  # A link would lead a mount out of the image.
  if [ -L "$folder" ]; then
    echo "/$folder of the image is a link" >&2
    exit 1
  fi
  mkdir -p "$folder"
done
mount -t proc -o nosuid,nodev,noexec proc proc
for folder in dev run tmp; do mount -t tmpfs -o nosuid,nodev,mode=0755 tmpfs "$folder"; done
chmod 1777 tmp
# No tty: what is typed there reaches the caller's shell.
for device in full null random urandom zero; do
  : > "dev/$device"
  mount -o bind "/dev/$device" "dev/$device"
done
mkdir -m 1777 dev/shm
ln -s /proc/self/fd dev/fd
for number in 0 1 2; do
  name=$(echo stdin stdout stderr | cut -d ' ' -f $((number + 1)))
  ln -s "/proc/self/fd/$number" "dev/$name"
done

# Puts the old root on top of the new one, where "." is, and takes it away with all that lies below.
pivot_root . .
umount -l .
cd /
exec chroot . /bin/sh -c "$script" complete.sh
