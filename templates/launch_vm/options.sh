# shellcheck shell=bash
# The options, checked as far as they can be without looking at the machine.

count=${measured_counts[0]}
net=user
gpu=none
log=
forwards=()
dry_run=no
checks=yes
development=no
given=' '
while [ $# -gt 0 ]; do
  given+="$1 "
  case $1 in
    -c | -m | --net | --forward | --gpu | --log)
      case ${2-} in '' | -*) usage_error "$1 needs a value" ;; esac
      case $1 in
        -c) count=$2 ;;
        -m) memory=$2 ;;
        --net) net=$2 ;;
        --forward) forwards+=("$2") ;;
        --gpu) gpu=$2 ;;
        --log) log=$2 ;;
      esac
      shift 2
      ;;
    --dry-run) dry_run=yes && shift ;;
    --no-checks) checks=no && shift ;;
    --dev) development=yes && shift ;;
    -h | --help) usage && exit 0 ;;
    *) usage_error "there is no option $1" ;;
  esac
done

is_one_of "$count" "${measured_counts[@]}" ||
  usage_error "$count vCPUs were not measured" "measured counts: ${measured_counts[*]}"

[[ $memory =~ ^([1-9][0-9]{0,8})([MG])$ ]] || usage_error "memory of $memory" 'write it like 8G or 8192M'
memory_mib=${BASH_REMATCH[1]}
[ "${BASH_REMATCH[2]}" = M ] || memory_mib=$((memory_mib * 1024))

case $net in
  user) ;;
  none | bridge:?*)
    [ ${#forwards[@]} -eq 0 ] || usage_error "--forward does nothing with --net $net" 'leave one of them out'
    [[ $net =~ ^(none|bridge:[^/[:space:]]{1,15})$ ]] || usage_error "${net#bridge:} is no name of a bridge"
    ;;
  *) usage_error "there is no network mode $net" 'use user, bridge:NAME or none' ;;
esac

# Every forward as HOST:GUEST. A port that --forward leads to has none from its own number besides.
ports=()
moved=()
for forward in "${forwards[@]}"; do
  [[ $forward =~ ^([1-9][0-9]{0,4}):([1-9][0-9]{0,4})$ && ${BASH_REMATCH[1]} -lt 65536 ]] ||
    usage_error "--forward $forward is no pair of ports" 'write it like 18002:8002, first that of this host'
  is_one_of "${BASH_REMATCH[2]}" "${allowed_ports[@]}" ||
    usage_error "the VM lets nothing in at port ${BASH_REMATCH[2]}" \
      "ports that were allowed when it was built: ${allowed_ports[*]:-none}"
  ports+=("$forward")
  moved+=("${BASH_REMATCH[2]}")
done
for port in "${allowed_ports[@]}"; do
  is_one_of "$port" "${moved[@]}" || ports+=("$port:$port")
done
taken=()
for port in "${ports[@]}"; do
  ! is_one_of "${port%:*}" "${taken[@]}" ||
    usage_error "port ${port%:*} of this host is to lead to more than one place" 'choose others with --forward'
  taken+=("${port%:*}")
done

gpus=()
if ! is_one_of "$gpu" none auto; then
  [[ $gpu == *, ]] || IFS=, read -ra gpus <<< "${gpu,,}"
  [ ${#gpus[@]} -gt 0 ] || usage_error "$gpu is no list of PCI addresses" 'write it like 0000:41:00.0,0000:c1:00.0'
  for i in "${!gpus[@]}"; do
    [[ ${gpus[i]} =~ ^[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$ ]] && gpus[i]=0000:${gpus[i]}
    [[ ${gpus[i]} =~ ^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$ ]] ||
      usage_error "${gpus[i]:-an empty word} is no PCI address" 'write it like 0000:41:00.0; lspci -D -d 10de: lists them'
    ! is_one_of "${gpus[i]}" "${gpus[@]:0:i}" || usage_error "the GPU ${gpus[i]} is named twice"
  done
fi
