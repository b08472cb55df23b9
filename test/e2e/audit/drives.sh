#!/bin/sh
# The workload of a test: how large its drives are, and what lies on user_data.
set -u

say() {
  echo "audit: $*"
}

for folder in /user_data /applog; do
  say "size of $folder: $(df -Pk "$folder" | awk 'NR == 2 { print $2 }') KiB"
done
say "note: $(cat /user_data/note)"
dd if=/dev/zero of=/applog/big bs=1M count=40 2> /dev/null && say "wrote $(stat -c %s /applog/big) bytes to /applog"
say end
