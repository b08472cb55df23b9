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

usage() {
  cat << END
Usage: launch_vm.sh [options]

Starts the confidential VM cvm_$id; its console is this terminal
(Ctrl-A X stops the VM at once, Ctrl-A H shows what else there is).

  -c N            vCPUs: one of ${measured_counts[*]} (default ${measured_counts[0]})
  -m SIZE         memory, such as 8G or 8192M (default $memory)
  --net MODE      user (default): the allowed ports are forwarded from this host;
                  bridge:NAME: on that bridge; none: no network
  --gpu ADDRESS   pass a GPU through by its PCI address, such as 0000:41:00.0
                  (default none); it must be bound to vfio-pci
  --log FILE      write the console to FILE as well
  --dry-run       print the QEMU command line and stop
  --no-checks     skip the checks of this machine
  --help          show this text

QEMU=PATH in the environment names another QEMU than the one on PATH.
END
}

die() {
  printf 'launch_vm.sh: cannot start the VM: %s\n' "$1" >&2
  [ -z "${2-}" ] || printf 'hint: %s\n' "$2" >&2
  exit "${3-1}"
}

usage_error() {
  die "$1" "${2-launch_vm.sh --help shows the options}" 2
}

count=${measured_counts[0]}
net=user
gpu=none
log=
dry_run=no
checks=yes
while [ $# -gt 0 ]; do
  case $1 in
    -c | -m | --net | --gpu | --log)
      case ${2-} in '' | -*) usage_error "$1 needs a value" ;; esac
      case $1 in
        -c) count=$2 ;;
        -m) memory=$2 ;;
        --net) net=$2 ;;
        --gpu) gpu=$2 ;;
        --log) log=$2 ;;
      esac
      shift 2
      ;;
    --dry-run) dry_run=yes && shift ;;
    --no-checks) checks=no && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage_error "there is no option $1" ;;
  esac
done

if [ "$kind" = development ]; then
  echo "launch_vm.sh: this is a development bundle: boot it with \`cvm boot\`" >&2
  exit 2
fi

measured=no
for candidate in "${measured_counts[@]}"; do
  [ "$candidate" != "$count" ] || measured=yes
done
[ "$measured" = yes ] || usage_error "$count vCPUs were not measured" "measured counts: ${measured_counts[*]}"
[[ $memory =~ ^[1-9][0-9]*[MG]$ ]] || usage_error "memory of $memory" 'write it like 8G or 8192M'

for file in OVMF.amdsev.fd vmlinuz initrd.img {crypt_root,applog,user_config,user_data}.qcow2; do
  [ -r "$here/$file" ] || die "$here/$file is missing or cannot be read" 'unpack the bundle again'
done

# QEMU's option values end at a comma; a doubled one stands for itself.
value() {
  printf '%s' "${1//,/,,}"
}

# Position of the encryption bit in page tables: CPUID leaf 0x8000001F, EBX bits 5 to 0.
encryption_bit() {
  local ebx=
  if command -v cpuid > /dev/null; then
    ebx=$(cpuid -1 -r -l 0x8000001f 2> /dev/null | sed -n 's/.*ebx=\(0x[0-9a-f]*\).*/\1/p' | head -n 1) || ebx=
  fi
  if [ -z "$ebx" ] && [ -r /dev/cpu/0/cpuid ]; then
    # This device gives EAX, EBX, ECX, EDX of the leaf that is its offset.
    ebx=$(dd if=/dev/cpu/0/cpuid bs=16 count=1 skip=$((0x8000001f)) iflag=skip_bytes 2> /dev/null | od -An -tu4 -j4 -N4 | tr -d ' ') || ebx=
  fi
  if [[ $ebx =~ ^(0x[0-9a-f]+|[0-9]+)$ ]] && [ $((ebx & 63)) -ne 0 ]; then
    echo $((ebx & 63))
  else
    echo 'launch_vm.sh: warning: this CPU does not tell its encryption bit; taking 51' >&2
    echo 51
  fi
}

check_machine() {
  local version
  command -v "$qemu" > /dev/null || die "$qemu is not installed" 'install QEMU 9.1 or later, or set QEMU=PATH'
  version=$("$qemu" --version | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p')
  [[ $version =~ ^([0-9]+)\.([0-9]+)$ ]] || die "$qemu does not tell its version"
  ((BASH_REMATCH[1] > 9 || (BASH_REMATCH[1] == 9 && BASH_REMATCH[2] >= 1))) ||
    die "$qemu is version $version; SEV-SNP needs 9.1 or later" 'install a later QEMU, or set QEMU=PATH'
  "$qemu" -object help | grep -qw sev-snp-guest || die "$qemu was built without sev-snp-guest"
  grep -qsx '[Y1]' /sys/module/kvm_amd/parameters/sev_snp ||
    die 'SEV-SNP is not enabled on this machine' \
      'switch SEV-SNP on in the BIOS and start Linux 6.11 or later; /sys/module/kvm_amd/parameters/sev_snp must be Y'
  local device
  for device in /dev/kvm /dev/sev; do
    [ -e "$device" ] || die "$device is missing"
    if [ ! -r "$device" ] || [ ! -w "$device" ]; then
      die "$device cannot be opened" 'run as root or join the group that owns it'
    fi
  done
}

check_gpu() {
  local driver
  driver=$(readlink -- "/sys/bus/pci/devices/$gpu/driver") || die "no driver holds the PCI device $gpu" 'bind it to vfio-pci'
  [ "${driver##*/}" = vfio-pci ] || die "the GPU $gpu is held by ${driver##*/}" 'bind it to vfio-pci'
}

[[ $gpu =~ ^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] && gpu=0000:$gpu
[[ $gpu =~ ^(none|[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$ ]] ||
  usage_error "$gpu is no PCI address" 'write it like 0000:41:00.0; lspci -D -d 10de: lists them'

if [ "$checks" = yes ] && [ "$dry_run" = no ]; then
  check_machine
  [ "$gpu" = none ] || check_gpu
fi

# DMA of an SNP guest goes through memory that it shares on purpose; legacy virtio knows nothing of it.
virtio=disable-legacy=on,iommu_platform=on

command=(
  "$qemu" -name "cvm_$id" -nodefaults -no-user-config -no-reboot -display none
  -accel kvm -machine 'q35,confidential-guest-support=sev0,memory-backend=ram0,vmport=off'
  -cpu "$cpu" -smp "$count" -m "$memory"
  -object "memory-backend-memfd,id=ram0,size=$memory,share=on,prealloc=off"
  -object "sev-snp-guest,id=sev0,policy=$policy,cbitpos=$(encryption_bit),reduced-phys-bits=1,kernel-hashes=on"
  -bios "$here/OVMF.amdsev.fd"
  -kernel "$here/vmlinuz" -initrd "$here/initrd.img" -append "$cmdline"
)

add_drive() { # file, serial number that the guest looks for, readonly
  command+=(
    -drive "file=$(value "$here/$1"),if=none,id=$2,format=qcow2,readonly=$3"
    -device "virtio-blk-pci,drive=$2,serial=$2,$virtio"
  )
}
add_drive crypt_root.qcow2 rootfs off
add_drive applog.qcow2 applog off
add_drive user_config.qcow2 user_config on
add_drive user_data.qcow2 user_data "$user_data_readonly"

case $net in
  user)
    netdev=user,id=net0
    for port in "${allowed_ports[@]}"; do
      netdev+=,hostfwd=tcp::$port-:$port
    done
    ;;
  bridge:?*) netdev=bridge,id=net0,br=$(value "${net#bridge:}") ;;
  none) netdev= ;;
  *) usage_error "there is no network mode $net" 'use user, bridge:NAME or none' ;;
esac
[ -z "$netdev" ] || command+=(-netdev "$netdev" -device "virtio-net-pci,netdev=net0,romfile=,$virtio")

if [ "$gpu" != none ]; then
  command+=(
    -device 'pcie-root-port,id=gpu0,bus=pcie.0'
    -device "vfio-pci,host=$gpu,bus=gpu0"
    # Room for the GPU's memory in the guest's address space, in MiB.
    -fw_cfg 'name=opt/ovmf/X-PciMmio64Mb,string=262144'
  )
fi

console=stdio,id=console,mux=on,signal=off
[ -z "$log" ] || console+=,logfile=$(value "$log")
command+=(-chardev "$console" -serial chardev:console -mon chardev=console)

if [ "$dry_run" = yes ]; then
  printf '%q ' "${command[@]}"
  echo
  exit 0
fi

# QEMU inherits the descriptor, so the lock lasts as long as the VM. Where a file system has no locks, QEMU's own remain.
exec 9< "$here/launch_vm.sh"
if command -v flock > /dev/null; then
  locked=0
  flock -n -E 75 9 || locked=$?
  [ "$locked" -ne 75 ] || die "this bundle's VM is running already: its drives are in use" 'stop it first'
fi

exec "${command[@]}"
