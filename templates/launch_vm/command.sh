# shellcheck shell=bash
# QEMU's command line. What is measured stands in its first lines; `cvm verify` reads it there.

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
    say 'warning: this CPU does not tell its encryption bit; taking 51'
    echo 51
  fi
}

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

netdev=
case $net in
  user)
    netdev=user,id=net0
    for port in "${ports[@]}"; do
      netdev+=,hostfwd=tcp::${port%:*}-:${port#*:}
    done
    ;;
  bridge:*) netdev=bridge,id=net0,br=$(value "${net#bridge:}") ;;
esac
[ -z "$netdev" ] || command+=(-netdev "$netdev" -device "virtio-net-pci,netdev=net0,romfile=,$virtio")

room=0
if [ ${#gpus[@]} -gt 0 ]; then
  room=$(gpu_room)
  command+=(-fw_cfg "name=opt/ovmf/X-PciMmio64Mb,string=$((room * 1024))")
  backend=
  if uses_iommufd; then
    command+=(-object 'iommufd,id=iommufd0')
    backend=,iommufd=iommufd0
  fi
  for i in "${!gpus[@]}"; do
    command+=(
      -device "pcie-root-port,id=gpu$i,bus=pcie.0,chassis=$((i + 1))"
      -device "vfio-pci,host=${gpus[i]},bus=gpu$i$backend"
    )
  done
fi
bits=$(address_bits "$room")
# Not measured, unlike the model that it belongs to.
[ "$bits" -eq 40 ] || command+=(-global "$cpu-x86_64-cpu.phys-bits=$bits")

console=stdio,id=console,mux=on,signal=off
[ -z "$log" ] || console+=,logfile=$(value "$log")
command+=(-chardev "$console" -serial chardev:console -mon chardev=console)
