# shellcheck shell=bash
# A development bundle starts without SEV-SNP, so the hash table and the key broker are the builder's to provide.

boot_development() {
  local option command=("$cvm" boot "$here")
  for option in --net --gpu --log --no-checks; do
    [[ $given != *" $option "* ]] || usage_error "$option is not for a development bundle"
  done
  [[ $given != *' -c '* ]] || command+=(--vcpus "$count")
  if [[ $given == *' -m '* ]]; then
    ((memory_mib % 1024 == 0)) || usage_error "memory of $memory" 'a development bundle takes whole GiB, like 4G'
    command+=(--memory $((memory_mib / 1024)))
  fi
  [ ${#ports[@]} -eq 0 ] || command+=(--forward "${ports[@]}")
  [ "$dry_run" = yes ] || command -v -- "$cvm" > /dev/null ||
    die "$cvm is not installed" "CVM=PATH names it: bin/cvm in the builder's folder"
  finish "${command[@]}"
}

if [ "$development" = yes ]; then
  [ "$kind" = development ] || usage_error 'this is no development bundle' 'leave --dev out'
  boot_development
fi
[ "$kind" != development ] ||
  usage_error 'this is a development bundle: a confidential VM would get no key for it' \
    "--dev boots it, with the builder's cvm boot"
