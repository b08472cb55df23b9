# shellcheck shell=sh
# The vault: the rest of the root drive, under dm-integrity, so that a block the host alters reads as an
# I/O error. Made at the first boot, checked and repaired at the later ones.

vault_made=cvm-vault-made

open_vault() {
  size=$(blockdev --getsz /dev/mapper/crypt_root)
  # The last 4 KiB tell a vault that was finished from one whose making was cut off, and hold its salt.
  sectors=$(((size - vault_first_sector) / 8 * 8 - 8))
  slice vault_slice /dev/mapper/crypt_root "$vault_first_sector" "$sectors"
  slice vault_marker /dev/mapper/crypt_root "$((vault_first_sector + sectors))" 8
  # A marker that cannot be read is no reason to make the vault anew.
  dd if=/dev/mapper/vault_marker of=/run/vault.marker bs=4096 count=1 2> /dev/null || fail E50 'the vault cannot be read'
  read -r magic vault_salt _ < /run/vault.marker 2> /dev/null || magic=
  if [ "$magic" = "$vault_made" ]; then
    open_vault_device
    repair_vault
  else
    say 'the vault is new: making it'
    vault_salt=$(head -c 32 /dev/urandom | sha256sum | cut -c 1-64)
    make_vault
  fi
  mkdir -p /vault
  mount -t ext4 -o nosuid,nodev "$vault" /vault 2> /run/mount.err || fail E53 "the vault cannot be mounted: $(cat /run/mount.err)"
  mkdir -p /vault/workspace
  chown "$workload_uid:$workload_gid" /vault /vault/workspace
  say "the vault has $(df -h /vault | awk 'NR == 2 { print $4 }') free"
}

open_vault_device() {
  vault=/dev/mapper/vault_slice
  [ "$vault_integrity" = yes ] || return 0
  write_vault_key
  integrity open /dev/mapper/vault_slice vault || fail E50 "the vault cannot be opened: $(tail -n 1 /run/integrity.err)"
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
  printf '%s %s \n' "$vault_made" "$vault_salt" > /run/vault.marker
  dd if=/run/vault.marker of=/dev/mapper/vault_marker bs=4096 conv=sync,fsync 2> /dev/null ||
    fail E51 'the vault cannot be written'
}

repair_vault() {
  /usr/sbin/e2fsck -p "$vault" > /run/e2fsck.log 2>&1
  [ $? -lt 4 ] || { say_output /run/e2fsck.log; fail E52 'the vault is damaged beyond automatic repair'; }
}

# A key of its own, so that no key does two jobs: 256 bits as 64 hex digits, one block of HMAC-SHA-256. The salt is
# drawn whenever a vault is made: blocks of an earlier vault of this image do not verify in the next.
write_vault_key() {
  printf '%s' "$vault_salt" | grep -Eqx '[0-9a-f]{64}' || fail E50 'the salt of the vault is damaged'
  material=$(cat "$key_folder/disk.key")
  [ "${#material}" -eq 128 ] || fail E50 'the disk key is gone'
  (umask 077 && printf 'cvm-vault-integrity:%s:%s' "$vault_salt" "$material" | sha256sum | cut -c 1-64 |
    tr -d '\n' > "$key_folder/vault.key")
  material=
  [ "$(wc -c < "$key_folder/vault.key")" -eq 64 ] || fail E50 'no room for the key of the vault'
}

integrity() {
  integritysetup "$@" --integrity hmac-sha256 --integrity-key-size 64 --integrity-key-file "$key_folder/vault.key" \
    > /run/integrity.err 2>&1
}
