# shellcheck shell=sh
# The vault: the rest of the root drive, under dm-integrity, so that a block the host alters reads as an
# I/O error. Made at the first boot, repaired at the later ones.
#
# A mark of 4 KiB lies in front of it: "cvm-vault-new" from the build, and once the vault is made
# "cvm-vault-made <salt> <sectors> <tag>". A host that wipes or garbles it makes it neither, and the boot stops:
# a vault is made anew only where the builder's own mark stands.

vault_mark_sectors=8

# Errors that the host's drive gave so far. A block that was altered is none of them: dm-integrity refuses that by itself.
drive_errors() {
  dmesg | grep -c 'I/O error, dev vd'
}

# vault_fail CODE TEXT: what a drive that cannot be read does to the vault is not to be taken for damage.
vault_fail() {
  [ "$(drive_errors)" -le "$vault_errors" ] || fail E56 "the host's drive gave read or write errors: $2"
  fail "$1" "$2"
}

open_vault() {
  vault_errors=$(drive_errors)
  slice vault_mark /dev/mapper/crypt_root "$vault_first_sector" "$vault_mark_sectors"
  vault_start=$((vault_first_sector + vault_mark_sectors))
  vault_room=$((($(blockdev --getsz /dev/mapper/crypt_root) - vault_start) / 8 * 8))
  dd if=/dev/mapper/vault_mark of=/run/vault.mark bs=4096 count=1 2> /dev/null || vault_fail E50 'the vault cannot be read'
  read -r magic vault_salt vault_sectors tag < /run/vault.mark 2> /dev/null || magic=
  case $magic in
    cvm-vault-new)
      say 'the vault is new: making it'
      vault_salt=$(head -c 32 /dev/urandom | sha256sum | cut -c 1-64)
      vault_sectors=$vault_room
      slice vault_slice /dev/mapper/crypt_root "$vault_start" "$vault_sectors"
      make_vault
      ;;
    cvm-vault-made)
      [ "$tag" = "$(derive mark "$vault_sectors")" ] || fail E54 'the mark of the vault was altered'
      fit_vault
      slice vault_slice /dev/mapper/crypt_root "$vault_start" "$vault_sectors"
      open_vault_device
      repair_vault
      ;;
    *) fail E54 'the mark of the vault is neither that of a new one nor that of one made: it was altered or wiped' ;;
  esac
  mount_vault
}

# A drive that grew or shrank is no new drive: the vault has the size it was made with.
fit_vault() {
  [ "$vault_sectors" -le "$vault_room" ] || fail E54 'the root drive is smaller than when its vault was made'
  [ "$vault_sectors" -eq "$vault_room" ] || say 'the root drive is larger than when its vault was made: the vault keeps its size'
}

mount_vault() {
  mkdir -p /vault
  # Where a block of the file system's own turns out altered, nothing more is built on it.
  mount -t ext4 -o nosuid,nodev,errors=remount-ro "$vault" /vault 2> /run/mount.err ||
    vault_fail E53 "the vault cannot be mounted: $(cat /run/mount.err)"
  if [ ! -e /vault/workspace ] && [ ! -L /vault/workspace ]; then
    mkdir /vault/workspace || fail E53 'the vault has no folder workspace, and none can be made'
  fi
  # Not through a link that an earlier run of the workload left.
  chown -h "$workload_uid:$workload_gid" /vault /vault/workspace
  vault_free=$(df -Pk /vault | awk 'NR == 2 { print $4 }')
  say "the vault has $((vault_free / 1024)) MiB free"
  [ "$vault_free" -ge 1024 ] || say 'E55: the vault is full'
}

open_vault_device() {
  vault=/dev/mapper/vault_slice
  [ "$vault_integrity" = yes ] || return 0
  write_vault_key
  integrity open /dev/mapper/vault_slice vault || vault_fail E50 "the vault cannot be opened: $(tail -n 1 /run/integrity.err)"
  vault=/dev/mapper/vault
}

make_vault() {
  if [ "$vault_integrity" = yes ]; then
    write_vault_key
    integrity format --batch-mode --no-wipe --tag-size 32 --sector-size 4096 /dev/mapper/vault_slice ||
      fail E51 "the vault cannot be made: $(tail -n 1 /run/integrity.err)"
  fi
  open_vault_device
  # What was never written reads as an integrity error: mke2fs looks at the start, and else only writes.
  dd if=/dev/zero of="$vault" bs=1M count=4 2> /dev/null || fail E51 'the vault cannot be written'
  /usr/sbin/mke2fs -q -t ext4 -b 4096 -i 65536 -m 0 -L vault -O sparse_super2,^resize_inode \
    -E num_backup_sb=0,lazy_itable_init=0,lazy_journal_init=0,nodiscard "$vault" > /run/mke2fs.log 2>&1 ||
    { say_output /run/mke2fs.log; fail E51 'the vault cannot be made'; }
  sync
  printf 'cvm-vault-made %s %s %s\n' "$vault_salt" "$vault_sectors" "$(derive mark "$vault_sectors")" > /run/vault.mark
  dd if=/run/vault.mark of=/dev/mapper/vault_mark bs=4096 conv=sync,fsync 2> /dev/null ||
    fail E51 'the vault cannot be written'
}

# After an unclean end dm-integrity and ext4 replay their journals. The check goes further only where ext4 noted an error.
repair_vault() {
  /usr/sbin/e2fsck -p "$vault" > /run/e2fsck.log 2>&1
  status=$?
  [ "$status" -lt 4 ] || { say_output /run/e2fsck.log; vault_fail E52 'the vault is damaged beyond automatic repair'; }
  if [ "$status" -ne 0 ] || grep -q 'recovering journal' /run/e2fsck.log; then
    say 'the vault was not closed cleanly and has been repaired'
  fi
}

# derive PURPOSE TEXT: 64 hex digits that only this disk key gives. A key of its own for each purpose, so that no key does
# two jobs. The salt is drawn whenever a vault is made: blocks of an earlier vault of this image do not verify in the
# next.
derive() {
  printf '%s' "$vault_salt" | grep -Eqx '[0-9a-f]{64}' || fail E54 'the salt of the vault was altered'
  material=$(cat "$key_folder/disk.key")
  [ "${#material}" -eq 128 ] || fail E50 'the disk key is gone'
  printf 'cvm-vault-%s:%s:%s:%s' "$1" "$vault_salt" "$2" "$material" | sha256sum | cut -c 1-64 | tr -d '\n'
  material=
}

# 256 bits as 64 hex digits, one block of HMAC-SHA-256.
write_vault_key() {
  (umask 077 && derive integrity "$vault_sectors" > "$key_folder/vault.key")
  [ "$(wc -c < "$key_folder/vault.key")" -eq 64 ] || fail E50 'no room for the key of the vault'
}

integrity() {
  integritysetup "$@" --integrity hmac-sha256 --integrity-key-size 64 --integrity-key-file "$key_folder/vault.key" \
    > /run/integrity.err 2>&1
}
