# shellcheck shell=sh
# user_config and user_data come from the host. user_config is copied into RAM and must then be, entry by
# entry, what the admin sealed; private keys never were on the drive and are laid over from the site layer.

copy_limit_kib=65536

mount_user_config() {
  [ -n "$user_config" ] || fail E60 'the drive user_config is missing'
  mount_host_drive "$user_config" /run/cvm/user_config.drive ro,noload ||
    fail E61 "user_config is not a usable ext4 drive: $(cat /run/mount.err)"
  source=/run/cvm/user_config.drive
  copy=/run/cvm/user_config
  mkdir -p "$copy"
  mount -t tmpfs -o "nosuid,nodev,nosymfollow,mode=0755,size=${copy_limit_kib}k" ram_user_config "$copy" ||
    fail E62 'no RAM for user_config'
  # Nothing is checked on the drive: the host answers each read as it likes. A copy that is too large fails here.
  cp -a "$source/." "$copy/" 2> /run/copy.err || fail E62 "user_config cannot be copied: $(tail -n 1 /run/copy.err)"
  umount "$source"
  rm -rf "$copy/lost+found"
  odd=$(cd "$copy" && find . -mindepth 1 ! -type f ! -type d | head -n 1)
  [ -z "$odd" ] || fail E63 "user_config holds something that is neither file nor folder: $odd"
  list_tree "$copy" > /run/cvm/user_config.found
  if ! cmp -s /run/cvm/user_config.found /sysroot/usr/lib/cvm/user_config.list; then
    difference=$(diff /run/cvm/user_config.found /sysroot/usr/lib/cvm/user_config.list | grep '^[-+][^-+]' | head -n 1 |
      sed 's/^.[defx] [0-7-]* [0-9a-f-]* //')
    fail E64 "user_config is not what was sealed: $difference"
  fi
  if [ -d /sysroot/usr/lib/cvm/user_config.private ]; then
    cp -a /sysroot/usr/lib/cvm/user_config.private/. "$copy/" || fail E65 'the sealed part of user_config cannot be added'
  fi
  chown -R "$workload_uid:$workload_gid" "$copy" || fail E65 'user_config cannot be given to the workload'
  mount -o remount,ro,nosuid,nodev,nosymfollow "$copy" || fail E65 'user_config cannot be made read-only'
  say 'user_config is what was sealed'
}

# The form of the sealed list: "<d|f|e> <mode> <sha256 or -> <path>", sorted; e is a file the site may edit. Whatever
# else is there is listed as x, which no sealed list holds: what is not listed would not be compared.
list_tree() {
  (
    cd "$1" || exit 1
    if find . -name '*[[:cntrl:]]*' | grep -q .; then echo 'x 0000 - a name with a control character'; fi
    find . -mindepth 1 ! -type d ! -type f -exec printf 'x 0000 - %s\n' {} \;
    find . -mindepth 1 -type d | while IFS= read -r path; do
      printf 'd %04o - %s\n' "0$(stat -c %a "$path")" "${path#./}"
    done
    find . -type f | while IFS= read -r path; do
      if grep -qxF "e - - ${path#./}" /sysroot/usr/lib/cvm/user_config.list; then
        printf 'e - - %s\n' "${path#./}"
      else
        sum=$(sha256sum < "$path")
        printf 'f %04o %s %s\n' "0$(stat -c %a "$path")" "${sum%% *}" "${path#./}"
      fi
    done
  ) | sort
}

mount_user_data() {
  [ -n "$user_data" ] || fail E66 'the drive user_data is missing'
  options=ro,noload
  [ "$user_data_writable" = yes ] && options=rw,errors=remount-ro
  if ! mount_host_drive "$user_data" /user_data "$options"; then
    fail E67 "user_data is not a usable ext4 drive: $(cat /run/mount.err)"
  fi
}
