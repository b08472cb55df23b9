#!/bin/bash
# Starts the confidential VM of this bundle. The firmware, kernel, initrd, command line, CPU model and vCPU
# count below were measured when the bundle was built: with anything else the key broker releases no key.
# Run it with --help to see what may be chosen.
set -euo pipefail

id=@ID@
kind=@KIND@
cpu=@CPU@
policy=@POLICY@
cmdline=@CMDLINE@
measured_counts=(@VCPUS@)
memory=@MEMORY@
allowed_ports=(@ALLOWED_PORTS@)
user_data_readonly=@USER_DATA_READONLY@

# The script may be started from any folder and through symbolic links.
here=$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")
qemu=${QEMU:-qemu-system-x86_64}
cvm=${CVM:-cvm}

usage() {
  cat << END
Usage: launch_vm.sh [options]

Starts the confidential VM cvm_$id; its console is this terminal
(Ctrl-A X stops the VM at once, Ctrl-A H shows what else there is).

  -c N            vCPUs: one of ${measured_counts[*]} (default ${measured_counts[0]})
  -m SIZE         memory, such as 8G or 8192M (default $memory)
  --net MODE      user (default): the allowed ports are forwarded from this host;
                  bridge:NAME: on that bridge; none: no network
  --forward HOST:GUEST
                  TCP port HOST of this host leads to the allowed port GUEST of
                  the VM, and GUEST of this host no longer does; may be repeated
                  (allowed: ${allowed_ports[*]:-none})
  --gpu WHICH     none (default); auto: each NVIDIA GPU that can be passed through;
                  or PCI addresses with commas between, such as 0000:41:00.0
  --log FILE      write the console to FILE as well
  --dry-run       print the command line and stop
  --no-checks     skip the checks of this machine and of the bundle's files
  --dev           boot a development bundle, with the builder's \`cvm boot\`
  --help          show this text

QEMU=PATH and CVM=PATH in the environment name other programs than those on PATH.
END
}

say() {
  printf 'launch_vm.sh: %s\n' "$1" >&2
}

die() { # cause, hint, status
  say "cannot start the VM: $1"
  [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
  exit "${3-1}"
}

usage_error() {
  die "$1" "${2-launch_vm.sh --help shows the options}" 2
}

is_one_of() { # word, words
  local word=$1 other
  shift
  for other; do [ "$other" != "$word" ] || return 0; done
  return 1
}

finish() { # command: prints it, or becomes it
  [ "$dry_run" = no ] || { printf '%q ' "$@" && echo && exit 0; }
  exec "$@"
}

# shellcheck source=templates/launch_vm/options.sh
. launch_vm/options.sh

# shellcheck source=templates/launch_vm/development.sh
. launch_vm/development.sh

for file in OVMF.amdsev.fd vmlinuz initrd.img {crypt_root,applog,user_config,user_data}.qcow2; do
  [ -r "$here/$file" ] || die "$here/$file is missing or cannot be read" 'unpack the bundle again'
done

# shellcheck source=templates/launch_vm/host.sh
. launch_vm/host.sh

# shellcheck source=templates/launch_vm/gpu.sh
. launch_vm/gpu.sh

[ "$gpu" != auto ] || find_gpus
if [ "$dry_run" = no ]; then
  lock_bundle
  if [ "$checks" = yes ]; then
    check_machine
    check_files
    check_network
    check_gpus
  fi
fi

# shellcheck source=templates/launch_vm/command.sh
. launch_vm/command.sh

finish "${command[@]}"
