# shellcheck shell=bash
# Checks before QEMU, whose own messages about the same say less.

# QEMU inherits the descriptor, so the lock lasts as long as the VM. Where a file system has no locks, QEMU's own remain.
lock_bundle() {
  local locked=0
  exec 9< "$here/launch_vm.sh"
  command -v flock > /dev/null || return 0
  flock -n -E 75 9 || locked=$?
  [ "$locked" -ne 75 ] || die "this bundle's VM is running already: its drives are in use" 'stop it first'
}

can_open() { # hint where one is missing, device files
  local device hint=$1
  shift
  for device; do
    [ -e "$device" ] || die "$device is missing" "$hint"
    [[ -r $device && -w $device ]] ||
      die "$device cannot be opened" "run as root or join the group that owns it: $(stat -c %G -- "$device")"
  done
}

qemu_has() { # class of object
  local classes
  classes=$("$qemu" -object help 2> /dev/null) || return
  grep -Eq "^ *$1( |$)" <<< "$classes"
}

check_machine() {
  local version available snp=/sys/module/kvm_amd/parameters/sev_snp
  command -v -- "$qemu" > /dev/null || die "$qemu is not installed" 'install QEMU 9.1 or later, or set QEMU=PATH'
  version=$("$qemu" --version | sed -n 's/^QEMU emulator version \([0-9]*\.[0-9]*\).*/\1/p') || version=
  [[ $version =~ ^([0-9]{1,4})\.([0-9]{1,4})$ ]] || die "$qemu does not tell its version" 'install QEMU 9.1 or later'
  ((BASH_REMATCH[1] > 9 || (BASH_REMATCH[1] == 9 && BASH_REMATCH[2] >= 1))) ||
    die "$qemu is version $version; SEV-SNP needs 9.1 or later" 'install a later QEMU, or set QEMU=PATH'
  qemu_has sev-snp-guest || die "$qemu was built without sev-snp-guest" "install your distribution's full QEMU for x86"
  [ "$version" != 9.1 ] || [ ${#gpus[@]} -eq 0 ] ||
    say 'warning: QEMU 9.1.0 passes no device to a SEV-SNP VM ("Cannot set discarding of RAM broken"); 9.2 does'

  [ -d /sys/module/kvm_amd ] ||
    die 'kvm_amd is not loaded' 'modprobe kvm_amd, on an AMD processor whose virtualisation is on in the BIOS'
  [ -e "$snp" ] || die 'this kernel cannot host SEV-SNP' 'start Linux 6.11 or later'
  grep -qx '[Y1]' "$snp" ||
    die 'SEV-SNP is not enabled on this machine' \
      "switch SEV-SNP and the IOMMU on in the BIOS and start Linux without iommu=pt, until $snp is Y"
  can_open "the kernel's log says why: dmesg | grep -iE 'sev|ccp|kvm'" /dev/kvm /dev/sev

  # The memory of an SNP guest can be neither swapped nor shared between VMs.
  available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
  [ -z "$available" ] || ((available / 1024 >= memory_mib)) ||
    die "the VM takes $memory_mib MiB of memory, and $((available / 1024)) MiB are free" '-m SIZE gives it less'
}

# Finds what was damaged on its way here. What was changed on purpose, the key broker finds.
check_files() {
  local listed file form said written=(crypt_root applog)
  [ -r "$here/manifest.json" ] || die "$here/manifest.json is missing or cannot be read" 'unpack the bundle again'
  # Names and sums hold no blanks: without those the text has one form, however it was written.
  listed=$(tr -d ' \t\r\n' < "$here/manifest.json")
  [[ $listed == *"\"id\":\"$id\""* ]] || die 'manifest.json is of another bundle' 'unpack the bundle again'
  for file in OVMF.amdsev.fd vmlinuz initrd.img; do
    form="\"${file//./[.]}\":[{][^{}]*\"sha256\":\"([0-9a-f]{64})\""
    [[ $listed =~ $form ]] || die "manifest.json has no SHA-256 of $file" 'unpack the bundle again'
    [ "$(sha256sum < "$here/$file")" = "${BASH_REMATCH[1]}  -" ] ||
      die "$file is not the file that was built" 'it was damaged or changed, and would get no key: unpack the bundle again'
  done

  [ "$user_data_readonly" = on ] || written+=(user_data)
  for file in "${written[@]}"; do
    [ -w "$here/$file.qcow2" ] || die "$here/$file.qcow2 cannot be written" 'run as the user whom the drives belong to'
  done
  # Opens each drive as QEMU will, and meets the lock of whoever else has it open.
  command -v qemu-img > /dev/null || return 0
  for file in crypt_root applog user_config user_data; do
    said=$(LC_ALL=C qemu-img info -f qcow2 -- "$here/$file.qcow2" 2>&1 > /dev/null) && continue
    [[ $said != *' lock'* ]] ||
      die "another program has $file.qcow2 open" 'let go of it first, as with qemu-nbd --disconnect'
    die "$file.qcow2 cannot be opened: ${said##*: }" 'unpack the bundle again'
  done
}

check_network() {
  local port host hint lowest
  if [[ $net == bridge:* ]]; then
    [ -d "/sys/class/net/${net#bridge:}/bridge" ] ||
      die "this machine has no bridge ${net#bridge:}" 'ip link show type bridge lists those it has'
  fi
  [ "$net" = user ] || return 0
  lowest=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2> /dev/null) || lowest=1024
  for port in "${ports[@]}"; do
    host=${port%:*}
    hint="let another lead there: --forward $((host % 20000 + 20000)):${port#*:}"
    # Sockets that listen are in state 0A; addresses and ports are in hexadecimal.
    ! grep -Eqs "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$host") [0-9A-F]+:[0-9A-F]+ 0A " /proc/net/tcp /proc/net/tcp6 ||
      die "port $host of this host is in use" "$hint"
    [ "$EUID" -eq 0 ] || [ "$host" -ge "$lowest" ] || die "only root may open port $host of this host" "$hint"
  done
}
