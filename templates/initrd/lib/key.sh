# shellcheck shell=sh
# Attestation and the disk key. The key exists as files in RAM, mode 0600, until the drives are open.

# Seconds that a client has for one attempt.
client_seconds=120

report_device=/sys/devices/platform/sev-guest

# Always in the boot log, also when the boot fails later: it is what the key broker compares.
print_measurement() {
  if [ "$kind" = development ]; then
    say 'DEVELOPMENT BUNDLE: nothing vouches for this VM; the launch digest is what the development KBS was told'
    return 0
  fi
  [ -e "$report_device" ] || fail E30 'this is not a SEV-SNP guest: no attestation device; nothing was requested'
  if [ -x /usr/bin/snpguest ]; then
    mkdir -p /run/cvm-report
    if snpguest report /run/cvm-report/report.bin /run/cvm-report/request.bin --random > /run/snpguest.log 2>&1; then
      measurement=$(dd if=/run/cvm-report/report.bin bs=1 skip=144 count=48 2> /dev/null | hexdump -v -e '1/1 "%02x"')
      say "Measurement: $measurement"
    else
      say 'Measurement: the attestation report could not be read'
      say_output /run/snpguest.log
    fi
  else
    say 'Measurement: not shown, the bundle was built without snpguest'
  fi
}

# kbs-client falls back to the sample TEE where it finds no hardware: never let it, except in a development
# bundle, whose initrd alone holds the sample client.
fetch_key() {
  if [ "$kind" = development ]; then
    client=kbs-sample-client
  else
    [ -e "$report_device" ] || fail E30 'this is not a SEV-SNP guest: no attestation device; nothing was requested'
    client=kbs-client
  fi
  [ -x "/usr/bin/$client" ] || fail E31 "the initrd holds no $client"
  (umask 077 && mkdir -p "$key_folder") || fail E32 'no room for the key'
  attempt=1
  while :; do
    say "requesting the disk key from $kbs_url (attempt $attempt of $kbs_attempts)"
    # A clean environment: the kernel hands on parameters that it does not know. Whoever answers may do so without end, and
    # all is in memory here: no file of 4 MiB (in blocks of 512 bytes), no more data than 1 GiB (in KiB), no longer than the time.
    # shellcheck disable=SC3045 # busybox has it
    (umask 077 && ulimit -f 8192 && ulimit -d 1048576 &&
      exec timeout -k 5 "$client_seconds" env -i "PATH=$PATH" "TMPDIR=$key_folder" "HOME=$key_folder" \
        "$client" --url "$kbs_url" --cert-file /etc/cvm/kbs-ca.pem get-resource --path "$kbs_path" \
        > "$key_folder/answer" 2> "$key_folder/errors")
    status=$?
    [ "$status" -ne 0 ] || break
    say_output "$key_folder/errors"
    case $status in
      # By TERM, by KILL, and as coreutils' timeout says it.
      143 | 137 | 124) why="; $client did not end within $client_seconds seconds" ;;
      153) why="; $client was given an answer without end" ;;
      *) why='' ;;
    esac
    [ -z "$why" ] || say "no key${why}"
    if [ "$client" = kbs-sample-client ]; then
      case $status in
        1) fail E33 'the KBS refused to release the key' ;;
        4) fail E34 'the KBS did not show the pinned certificate' ;;
        5) fail E34 'the certificate of the KBS has expired, or is not valid yet, by the clock of this VM' ;;
      esac
    fi
    [ "$attempt" -lt "$kbs_attempts" ] || fail E35 "the KBS gave no key in $kbs_attempts attempts$why"
    attempt=$((attempt + 1))
    sleep "$kbs_retry_seconds"
  done
  (umask 077 && tr -d '\n' < "$key_folder/answer" | base64 -d > "$key_folder/disk.key" 2> /dev/null)
  rm -f "$key_folder/answer" "$key_folder/errors"
  { [ "$(wc -c < "$key_folder/disk.key")" -eq 128 ] && grep -Eqx '[0-9a-f]{128}' "$key_folder/disk.key"; } ||
    fail E36 'what the KBS released is not a disk key'
  say 'the KBS released the disk key'
}

wipe_key() {
  for file in "$key_folder"/*; do
    [ -f "$file" ] && dd if=/dev/zero of="$file" bs=4096 count=1 conv=notrunc 2> /dev/null
  done
  rm -rf "$key_folder"
}
