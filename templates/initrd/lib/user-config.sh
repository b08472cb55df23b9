# shellcheck shell=sh
# user_config and user_data come from the host. user_config is copied into RAM and must then be, entry by
# entry, what the admin sealed. The drive holds only what is public: everything else is in the site layer, which is laid over.

# More than any plain part that the builder makes.
copy_limit_kib=65536 copy_limit_entries=12000
found_list=/run/cvm/user_config.found
sealed_folder=/run/cvm/segments/site/usr/lib/cvm/user_config.sealed

mount_user_config() {
  mount_host_drive "$user_config" /run/cvm/user_config.drive ro,noload ||
    fail E61 "user_config is not a usable ext4 drive: $(cat /run/mount.err)"
  copy=/run/cvm/user_config.plain
  mkdir -p "$copy"
  mount -t tmpfs -o "nosuid,nodev,nosymfollow,mode=0755,size=${copy_limit_kib}k,nr_inodes=$copy_limit_entries" \
    ram_user_config "$copy" || fail E62 'no RAM for user_config'
  # Nothing is checked on the drive: the host answers each read as it likes. A copy that is too large fails here.
  cp -a /run/cvm/user_config.drive/. "$copy/" 2> /run/copy.err ||
    fail E62 "user_config cannot be copied: $(tail -n 1 /run/copy.err)"
  umount /run/cvm/user_config.drive
  rm -rf "$copy/lost+found"
  compare_with_seal "$copy" /sysroot/usr/lib/cvm/user_config.list
  chown -R "$((first_id + workload_uid)):$((first_id + workload_gid))" "$copy" || fail E65 'user_config cannot be given to the workload'
  mount -o remount,ro,nosuid,nodev,nosymfollow "$copy" || fail E65 'user_config cannot be made read-only'
  lay_sealed_over "$copy"
  say 'user_config is what was sealed'
}

# lay_sealed_over FOLDER: the sealed part over the copy, as /run/cvm/user_config. It stays on its drive and takes no RAM. Nothing
# is writable: there is no upper layer. A folder of both has the owner and mode of the sealed one, which holds all folders.
lay_sealed_over() {
  mkdir -p /run/cvm/user_config
  mount -t overlay -o "ro,nosuid,nodev,nosymfollow,lowerdir=$sealed_folder:$1" user_config /run/cvm/user_config \
    2> /run/mount.err || fail E65 "the sealed part of user_config cannot be added: $(cat /run/mount.err)"
}

# compare_with_seal FOLDER LIST: ends the boot where the folder is not, entry by entry, what the list says.
compare_with_seal() {
  odd=$(cd "$1" && find . -mindepth 1 ! -type f ! -type d | head -n 1)
  [ -z "$odd" ] || fail E63 "user_config holds something that is neither file nor folder: $odd"
  # The list is one of lines: no name may hold two of them.
  if find "$1" -name '*[[:cntrl:]]*' | grep -q .; then
    fail E64 'user_config is not what was sealed: a name with a control character'
  fi
  list_tree "$1" "$2" > "$found_list"
  cmp -s "$found_list" "$2" && return 0
  difference=$(diff "$found_list" "$2" | grep '^[-+][^-+]' | head -n 1 |
    sed 's/^.[defx] [0-7-]* [0-9a-f-]* //')
  fail E64 "user_config is not what was sealed: $difference"
}

# list_tree FOLDER LIST: the folder in the form of the list, "<d|f|e> <mode> <sha256 or -> <path>", sorted; e is a file the
# site may edit. Whatever else is there is listed as x, which no sealed list holds: what is not listed would not be compared.
list_tree() {
  (
    cd "$1" || exit 1
    find . -mindepth 1 ! -type d ! -type f -exec printf 'x 0000 - %s\n' {} \;
    find . -mindepth 1 -type d | while IFS= read -r path; do
      printf 'd %04o - %s\n' "0$(stat -c %a "$path")" "${path#./}"
    done
    find . -type f | while IFS= read -r path; do
      if grep -qxF "e - - ${path#./}" "$2"; then
        printf 'e - - %s\n' "${path#./}"
      else
        sum=$(sha256sum < "$path")
        printf 'f %04o %s %s\n' "0$(stat -c %a "$path")" "${sum%% *}" "${path#./}"
      fi
    done
  ) | sort
}

mount_user_data() {
  options=ro,noload
  [ "$user_data_writable" = yes ] && options=rw,errors=remount-ro
  if ! mount_host_drive "$user_data" /user_data "$options"; then
    fail E67 "user_data is not a usable ext4 drive: $(cat /run/mount.err)"
  fi
}
