#!/bin/sh
# What the bytes of one site cost, by the tools alone: sites.sh <folder cvm_<id>> <base.squashfs> <layer.squashfs> <key file> <output folder>.
# The same tools on the same bytes as a build, one after the other, with nothing checked, recorded or decided.
set -eu
bundle=$1 base=$2 layer=$3 key=$4 out=$5
work=$(mktemp -d /dev/shm/site-floor-XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$out" "$work/kit"
image=$work/payload.img

# Base and workload, on boundaries of 4 KiB; dm-verity behind them, LUKS around both, qcow2 around that.
cat "$base" > "$image"
truncate -s %4096 "$image"
cat "$layer" >> "$image"
truncate -s %4096 "$image"
data=$(stat -c %s "$image")
veritysetup format --no-superblock --data-blocks=$((data / 4096)) --hash-offset="$data" \
  --salt=00 "$image" "$image" > /dev/null
truncate -s %4096 "$image"
truncate -s +4M "$image"
cryptsetup reencrypt --encrypt --batch-mode --disable-locks --type=luks2 --cipher=aes-xts-plain64 --key-size=512 \
  --sector-size=4096 --reduce-device-size=4m --luks2-metadata-size=16k --luks2-keyslots-size=512k --resilience=none \
  --pbkdf=pbkdf2 --pbkdf-force-iterations=1000 --key-file="$key" "$image" > /dev/null 2>&1
qemu-img convert -f raw -O qcow2 "$image" "$out/crypt_root.qcow2"

for drive in applog user_config user_data; do
  truncate -s 1G "$work/$drive.raw"
  fakeroot mke2fs -q -F -t ext4 -m 0 -L $drive -E assume_storage_prezeroed=1,nodiscard -d "$work/kit" "$work/$drive.raw"
  qemu-img convert -f raw -O qcow2 "$work/$drive.raw" "$out/$drive.qcow2"
done
for file in OVMF.amdsev.fd vmlinuz initrd.img README.txt launch_vm.sh manifest.json; do
  cat "$bundle/$file" > "$out/$file"
done

# A kernel and an initrd are hashed once more for the launch digest.
(cd "$out" && sha256sum -- * vmlinuz initrd.img > /dev/null)
tar -C "$out" -cf "$out.tar" .
sync "$out.tar"
