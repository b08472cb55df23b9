# shellcheck shell=sh
# The sealed system: LUKS by the header in this initrd, dm-verity by the root hash in this initrd, then the
# base, the site layer and the workload's layers out of it.

# slice NAME DEVICE START SECTORS [OPTION]: a part of a device, in 512-byte sectors.
slice() {
  slice_name=$1 table="0 $4 linear $2 $3"
  shift 4
  dmsetup create "$slice_name" "$@" --table "$table" 2> /run/dmsetup.err ||
    fail E42 "the part $slice_name of the root drive cannot be mapped: $(cat /run/dmsetup.err)"
}

open_sealed_system() {
  cryptsetup open --type luks2 --disable-keyring --header /etc/cvm/luks-header --key-file "$key_folder/disk.key" \
    "$rootfs" crypt_root 2> /run/cryptsetup.err ||
    fail E41 "the root drive cannot be opened with this key: $(cat /run/cryptsetup.err)"
  # Checked once as a whole while a mismatch is still an error that can be reported; from then on the kernel
  # panics on the first altered block, so that no part of the system can fail open.
  open_verity sealed_check
  dd if=/dev/mapper/sealed_check of=/dev/null bs=4M 2> /run/verity.err ||
    fail E43 'the seal of the root drive is broken: its data was altered'
  veritysetup close sealed_check || fail E43 'the check of the seal did not end'
  open_verity sealed --panic-on-corruption
  say 'the seal of the root drive is whole'
  mount_system
  mount_workload
}

# open_verity NAME [OPTION]: the same sealed parameters for the check and for use.
open_verity() {
  verity_name=$1
  shift
  veritysetup open "$@" --no-superblock --data-block-size 4096 --hash-block-size 4096 --hash sha256 \
    --salt "$verity_salt" --hash-offset "$verity_hash_offset" --data-blocks "$verity_data_blocks" \
    /dev/mapper/crypt_root "$verity_name" /dev/mapper/crypt_root "$verity_root_hash" 2> /run/verity.err ||
    fail E43 "the seal of the root drive is broken: $(tail -n 1 /run/verity.err)"
}

# /etc/cvm/layout: a line a segment, "<name> <first sector> <sectors>", workload layers from the bottom up. There may be 500
# of them, so one program maps all and one mounts all. Layers have short names: overlayfs takes what fits into a page.
mount_segments() {
  segments=/run/cvm/segments workload_layers='' devices=''
  : > /run/segments.fstab
  while read -r name first sectors; do
    place=${name#layer}
    devices="$devices${devices:+;}segment_$name,,,ro,0 $sectors linear /dev/mapper/sealed $first"
    mkdir -p "$segments/$place"
    echo "/dev/mapper/segment_$name $segments/$place squashfs ro,nodev 0 0" >> /run/segments.fstab
    [ "$place" = "$name" ] || workload_layers=$place${workload_layers:+:$workload_layers}
  done < /etc/cvm/layout
  dmsetup create --concise "$devices" 2> /run/dmsetup.err ||
    fail E42 "the parts of the root drive cannot be mapped: $(tail -n 1 /run/dmsetup.err)"
  mount -a --fstab /run/segments.fstab 2> /run/mount.err ||
    fail E44 "a sealed part cannot be mounted: $(tail -n 1 /run/mount.err)"
  awk 'NR == FNR { there[$5 " " $(NF - 1)] = 1; next } !(($2 " " $1) in there) { print $2; exit }' \
    /proc/self/mountinfo /run/segments.fstab > /run/segments.missing
  [ ! -s /run/segments.missing ] || fail E44 "a sealed part is not mounted: $(cat /run/segments.missing)"
}

mount_system() {
  mount_segments
  overlay system site:base "$system_ram" /sysroot
  only_our_units
  lock_accounts
}

# An allow-list: whatever units, generators and settings the base brings, systemd finds ours alone.
only_our_units() {
  cover units /sysroot/usr/lib/systemd/system
  cover etc-systemd /sysroot/etc/systemd
  for folder in usr/lib/systemd/system-generators usr/lib/systemd/system-environment-generators \
    usr/lib/systemd/system-shutdown usr/local/lib/systemd usr/lib/systemd/system.conf.d; do
    cover empty "/sysroot/$folder"
  done
}

# No unit offers a login; and no account, whatever the base brings, has a password that would pass at one.
lock_accounts() {
  if ! set_password passwd x || ! set_password shadow '!*'; then fail E46 'the accounts of the base cannot be locked'; fi
}

set_password() {
  [ -f "/sysroot/etc/$1" ] || return 0
  awk -F: -v OFS=: -v "password=$2" 'NF > 1 { $2 = password } { print }' "/sysroot/etc/$1" > /run/accounts &&
    cat /run/accounts > "/sysroot/etc/$1" && rm /run/accounts
}

cover() {
  mkdir -p "$2"
  mount --bind "/run/cvm/segments/site/usr/lib/cvm/$1" "$2" || fail E46 "$2 cannot be replaced"
}

# overlay NAME LOWER SIZE FOLDER: the lower layers, named below /run/cvm/segments, with a writable one in RAM, gone at power-off.
overlay() {
  ram=/run/cvm/ram/$1
  mkdir -p "$ram" "$4"
  mount -t tmpfs -o "nosuid,nodev,mode=0755,size=$3" "ram_$1" "$ram" || fail E45 "no RAM for $1"
  mkdir -p "$ram/upper" "$ram/work"
  # By the old system call, whose names may be as long as all layers together; the new one takes 256 bytes.
  (
    cd "$segments" || exit 1
    LIBMOUNT_FORCE_MOUNT2=always mount -t overlay -o "nodev,lowerdir=$2,upperdir=$ram/upper,workdir=$ram/work" "$1" "$4"
  ) 2> /run/mount.err || fail E45 "the layers of $1 cannot be stacked: $(cat /run/mount.err)"
  overlay_holds "$4" "$2" "$ram/upper" < /proc/self/mountinfo ||
    fail E45 "the layers of $1 are not all there: the kernel stacked others than it was told to"
}

# overlay_holds FOLDER LOWER UPPER: whether the list of mounts on standard input says that an overlay at FOLDER has just these
# layers. The kernel cuts options that are too long, and says nothing.
overlay_holds() {
  options=$(awk -v "folder=$1" '$5 == folder { found = $NF } END { print found }')
  case ,$options, in *",lowerdir=$2,"*) ;; *) return 1 ;; esac
  case ,$options, in *",upperdir=$3,"*) ;; *) return 1 ;; esac
}

mount_workload() {
  overlay workload "$workload_layers" "$workload_ram" /run/cvm/workload/rootfs
  # The root folder of the container shows the attributes of this one.
  chown "$first_id:$first_id" /run/cvm/ram/workload/upper || fail E45 'the writable layer cannot be given to the container'
}

# Memory that the container may take, what its files in RAM take included: all but a part for the VM's own services, which
# attest again while the workload runs. systemd reads it when it starts.
limit_container() {
  folder=/run/systemd/system/container.slice.d
  mkdir -p "$folder"
  awk '$1 == "MemTotal:" { printf "[Slice]\nMemoryMax=%dK\n", $2 - 262144 - $2 / 50 }' /proc/meminfo > "$folder/memory.conf"
}

hand_over() {
  trap - EXIT
  [ -x /sysroot/usr/lib/systemd/systemd ] || fail E46 'the sealed system holds no systemd'
  printf '%s' "$verdict_port" > /run/cvm/verdict-port
  limit_container
  # A kernel that panics from here on writes nothing back: the boot log up to this line is on the drive.
  sync
  for folder in applog vault user_data dev sys proc run; do
    mkdir -p "/sysroot/$folder"
    mount --move "/$folder" "/sysroot/$folder" || fail E47 "/$folder cannot be handed over"
  done
  # Not even root's programs change it from here on; what the VM writes lies below /run.
  mount -o remount,ro,nodev /sysroot || fail E47 'the sealed system cannot be made read-only'
  # What switch_root does, but for emptying the initrd: that would free some 50 MB of RAM, and under TCG, which
  # translates code by page, it takes longer than the whole boot. Nothing secret is left in there.
  cd /sysroot || fail E47 'the sealed system is not there'
  mount --move . / || fail E47 'the sealed system cannot become the root'
  # Said here and not in a file of the drive alone: a systemd that cannot go on ends the VM, and opens no shell.
  exec env -i TERM=linux PATH=/usr/sbin:/usr/bin SYSTEMD_EFI_OPTIONS='' chroot . /usr/lib/systemd/systemd \
    --unit=cvm.target --crash-reboot=yes --crash-shell=no --dump-core=no
}
