# shellcheck shell=bash
# A peer written in Python, in a virtual environment of its own: sourced by its `prepare`, after bin/lib/setup.sh.
# Nothing is compiled or run on the way: wheels alone, each with its hash in requirements.txt.

# python_found <python…>: prints the first that the requirements have wheels for and that can make virtual environments.
python_found() {
  local python
  for python in "$@"; do
    if "$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'; then
      printf '%s' "$python"
      return
    fi
  done 2>/dev/null
  return 1
}

# python_environment <name> <requirements.txt> <folder> [python…]: installs them in <folder>/venv, with one of the Pythons
# where any are named. Quick when they are there.
python_environment() {
  local name=$1 requirements=$2 folder=$3 stamp=$3/installed want python pythons
  pythons=("${@:4}")
  ((${#pythons[@]} > 0)) || pythons=(python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11)
  want=$(sha256sum <"$requirements")
  exec 8<"$folder"
  flock 8
  if [[ -x $folder/venv/bin/python && -r $stamp && $(<"$stamp") == "$want" ]]; then return; fi

  if ! python=$(python_found "${pythons[@]}"); then
    [[ -z ${CVM_PEERS_PRESENT_ONLY-} ]] ||
      setup_fail "cannot install $name: there is no Python 3.11 to 3.14 with venv here" 'npm run test:peers installs it'
    # Debian's Python comes without what `python3 -m venv` needs.
    setup_apt python3 python3-venv
    python=$(python_found "${pythons[@]}") ||
      setup_fail "cannot install $name: there is no Python 3.11 to 3.14" 'apt-get install python3 python3-venv'
  fi
  rm -f -- "$stamp"
  setup_say "Installing $name"
  setup_quietly 'python3 -m venv' "$python" -m venv --clear "$folder/venv" ||
    setup_fail "cannot make a virtual environment in $folder" 'its words above say why'
  setup_quietly 'pip install' "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --require-hashes --only-binary=:all: -r "$requirements" ||
    setup_fail "cannot install $name: pip failed" 'its words above say why; PyPI must be reachable'
  printf '%s\n' "$want" >"$stamp"
}
