# shellcheck shell=bash
# What the peer tests and the benchmark start with, sourced after bin/lib/setup.sh with `root` set: a bundle, and
# others' software to hold ours against.

# shellcheck disable=SC2154 # root, setup_log
peers_work=
trap '[[ -z $setup_log ]] || rm -f -- "$setup_log"; [[ -z $peers_work ]] || rm -rf -- "$peers_work"' EXIT

# peers_use_bundle: sets CVM_PEERS_BUNDLE to the folder of a development bundle of the quickstart. One named there
# already is taken as it is.
peers_use_bundle() {
  if [[ -n ${CVM_PEERS_BUNDLE-} ]]; then
    [[ -f $CVM_PEERS_BUNDLE/manifest.json ]] ||
      setup_fail "cannot use the bundle $CVM_PEERS_BUNDLE: it has no manifest.json" \
        'CVM_PEERS_BUNDLE names a folder cvm_<id>; without it one is built'
    CVM_PEERS_BUNDLE=$(readlink -f -- "$CVM_PEERS_BUNDLE")
  else
    peers_work=$(mktemp -d)
    setup_say 'Building the quickstart bundle'
    # Its records go the way of the bundle, so that this account's own development images stay as they are.
    setup_quietly 'cvm_build.sh' env "XDG_STATE_HOME=$peers_work/state" "$root/cvm_build.sh" --dev \
      --output "$peers_work" "$root/examples/quickstart/cc_site-1.yml" ||
      setup_fail 'cannot build the quickstart bundle' 'its words above say why'
    local folders=("$peers_work"/target/cvm_*/)
    CVM_PEERS_BUNDLE=${folders[0]%/}
  fi
  export CVM_PEERS_BUNDLE
}

# peers_use_tools: sets CVM_PEERS_TOOLS to the folder where peers are installed, one folder each. It outlives the run.
peers_use_tools() {
  local cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
  [[ $cache == /* ]] || setup_fail 'cannot find a cache folder: neither XDG_CACHE_HOME nor HOME is an absolute path' 'set HOME'
  CVM_PEERS_TOOLS=$cache/cvm-builder-peers
  export CVM_PEERS_TOOLS
  (umask 077 && mkdir -p -- "$CVM_PEERS_TOOLS") || setup_fail "cannot make $CVM_PEERS_TOOLS" 'its words above say why'
  # Programs are started from it: another account must not be able to place any.
  [[ -O $CVM_PEERS_TOOLS && ! -L $CVM_PEERS_TOOLS ]] ||
    setup_fail "cannot use $CVM_PEERS_TOOLS: it is not a folder of this account" 'remove it'
}

# peers_prepare <name>: makes the peer ready in $CVM_PEERS_TOOLS/<name> and adds it to CVM_PEERS_READY.
peers_prepare() {
  (umask 077 && mkdir -p -- "$CVM_PEERS_TOOLS/$1") && "$root/test/peers/$1/prepare" "$CVM_PEERS_TOOLS/$1" || return 1
  export CVM_PEERS_READY="${CVM_PEERS_READY:+$CVM_PEERS_READY }$1"
}

# peers_known: the names of all peers, one a line.
peers_known() {
  local folder
  for folder in "$root"/test/peers/*/; do basename -- "$folder"; done
}

# peers_run <results folder> <name>…: prepares the peers and runs their tests; the report is peers.json in that folder.
# A peer that cannot be had is no reason to run no test: its own are skipped, and the closing line counts them.
peers_run() {
  local results=$1 peer status=0 absent=() filters=()
  shift
  peers_use_bundle
  peers_use_tools
  for peer in "$@"; do
    peers_prepare "$peer" || absent+=("$peer")
    filters+=("test/peers/$peer/")
  done
  mkdir -p -- "$results"
  rm -f -- "$results/peers.json"
  # shellcheck disable=SC2154 # node
  "$node" node_modules/vitest/vitest.mjs run --project peers \
    --reporter=default --reporter=json --outputFile.json="$results/peers.json" "${filters[@]}" </dev/null || status=$?
  for peer in ${absent[@]+"${absent[@]}"}; do
    printf "NOT RUN: the tests against '%s', whose software could not be prepared; the error above says why\n" "$peer"
  done
  return "$status"
}
