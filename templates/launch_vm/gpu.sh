# shellcheck shell=bash
# GPUs: which can be passed through, by what, and the room that their memory takes.

pci=/sys/bus/pci/devices

driver_of() { # PCI address
  local driver
  driver=$(readlink -- "$pci/$1/driver") || return 0
  printf '%s' "${driver##*/}"
}

# Sets `obstacle` to why a PCI device cannot be passed through and `remedy` to what helps, and fails then.
passable() { # PCI address
  local driver other bind='driverctl set-override'
  obstacle='there is no such PCI device' remedy='lspci -D -d 10de: lists those of NVIDIA'
  [ -e "$pci/$1" ] || return
  obstacle='the IOMMU is off' remedy='switch it on in the BIOS and start Linux without iommu=off'
  [ -e "$pci/$1/iommu_group" ] || return
  driver=$(driver_of "$1")
  obstacle="it is held by ${driver:-no driver}" remedy="bind it to vfio-pci: $bind $1 vfio-pci"
  [ "$driver" = vfio-pci ] || return
  # The kernel hands over a group as a whole; bridges may stay with theirs.
  for other in "$pci/$1/iommu_group/devices"/*; do
    other=${other##*/}
    driver=$(driver_of "$other")
    obstacle="$other of its IOMMU group is held by $driver" remedy="bind that to vfio-pci too: $bind $other vfio-pci"
    is_one_of "$driver" '' vfio-pci pci-stub pcieport || return
  done
}

named() { # PCI address
  local line
  line=$(lspci -D -s "$1" 2> /dev/null) || line=
  printf '%s' "GPU $1${line:+ (${line#*: })}"
}

# Takes NVIDIA's VGA (0x0300) and 3D controllers (0x0302) that can be passed through, and says why others cannot.
find_gpus() {
  local device seen=0
  for device in "$pci"/*; do
    grep -qsx 0x10de "$device/vendor" || continue
    grep -qsx '0x030[02]..' "$device/class" || continue
    seen=$((seen + 1))
    device=${device##*/}
    if passable "$device"; then
      gpus+=("$device")
      say "$(named "$device") is passed through"
    else
      say "$(named "$device") is left out: $obstacle; $remedy"
    fi
  done
  [ "$seen" -gt 0 ] || die 'this machine has no NVIDIA GPU' '--gpu none starts the VM without one'
  [ ${#gpus[@]} -gt 0 ] || die 'no GPU can be passed through' 'the lines above say why; --gpu none starts the VM without one'
}

# Device files of one GPU each are newer than those of IOMMU groups; not every kernel and QEMU has them.
uses_iommufd() {
  [ -e /dev/iommu ] && [ -d /dev/vfio/devices ] && qemu_has iommufd
}

check_gpus() {
  local device node nodes
  for device in "${gpus[@]}"; do
    passable "$device" || die "the GPU $device cannot be passed through: $obstacle" "$remedy"
    if uses_iommufd; then
      for node in "$pci/$device/vfio-dev"/vfio*; do
        nodes=(/dev/iommu "/dev/vfio/devices/${node##*/}")
      done
    else
      node=$(readlink -- "$pci/$device/iommu_group")
      nodes=(/dev/vfio/vfio "/dev/vfio/${node##*/}")
    fi
    can_open 'modprobe vfio-pci, and see dmesg' "${nodes[@]}"
  done
}

# GiB of the guest's address space that the GPUs' memory takes, a power of two. Each GPU is behind a port of its own, whose
# window begins at a multiple of the GPU's largest range: with the small ranges besides, it takes the next power of two.
gpu_room() {
  local device start end flags bytes each all=0 room=256
  for device in "${gpus[@]}"; do
    # Of a GPU that is not here, as with --dry-run elsewhere, the usual size is taken.
    bytes=0 each=256
    if [ -r "$pci/$device/resource" ]; then
      each=1
      while read -r start end flags; do
        # IORESOURCE_MEM_64: the others lie below 4 GiB.
        ((flags & 0x100000)) || continue
        bytes=$((bytes + end - start + 1))
      done < "$pci/$device/resource"
    fi
    while ((each << 30 < bytes)); do each=$((each * 2)); done
    all=$((all + each))
  done
  while ((room < all)); do room=$((room * 2)); done
  echo "$room"
}

# Width of the guest's physical addresses. QEMU's own 40 bits hold memory and GPUs of 1 TiB together.
address_bits() { # GiB for GPUs
  # 4 GiB lie below the memory's upper part, and QEMU keeps 32 GiB above it.
  local top=$((memory_mib / 1024 + 4 + 32)) bits=40
  # AMD reserves the addresses just below 1 TiB: QEMU moves memory that would reach them to above.
  ((top <= 1012)) || top=$((top + 1024))
  # The firmware begins the room at a multiple of its size.
  [ "$1" -eq 0 ] || top=$(((top + $1 - 1) / $1 * $1 + $1))
  while ((1 << (bits - 30) < top)); do bits=$((bits + 1)); done
  echo "$bits"
}
