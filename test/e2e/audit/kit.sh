#!/bin/sh
# What of user_config the workload finds: each entry with mode, owner and, of a file, its SHA-256; and whether any can be changed.
say() {
  echo "audit: $*"
}

cd /user_config || exit 1
find . | sort | while IFS= read -r path; do
  sum=
  [ ! -f "$path" ] || sum=$(sha256sum < "$path" | cut -d ' ' -f 1)
  say "$(stat -c '%a %u:%g' "$path") $path $sum"
done
for path in planted nvflare/planted nvflare/local/planted; do
  if (: > "$path") 2> /dev/null; then say "$path was written"; fi
done
if (: >> nvflare/startup/client.key) 2> /dev/null; then say 'a sealed file was opened for writing'; fi
if (: >> nvflare/startup/fed_client.json) 2> /dev/null; then say 'a plain file was opened for writing'; fi
say "mounted $(sed -n 's|^[^ ]* /user_config \([^ ]*\) \([^ ]*\) .*|\1 \2|p' /proc/mounts)"
say 'end'
