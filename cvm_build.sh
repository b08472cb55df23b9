#!/usr/bin/env bash
# Builds the CVM bundle of one site: cvm_build.sh <cc_config.yml> [options].
# This is the `build_image_cmd` of FLARE's OnPremPackager. It installs what is missing, then runs `cvm build`.
# `cvm_build.sh --setup` only installs.
set -euo pipefail

self=$(readlink -f -- "${BASH_SOURCE[0]}")
root=${self%/*}
setup_voice=both
# shellcheck source=bin/lib/setup.sh
. "$root/bin/lib/setup.sh"

setup_node_packages production
case " $* " in
  # Asking what it does installs nothing on the machine.
  *' --help '* | *' -h '*) ;;
  *)
    # shellcheck disable=SC2119 # its arguments are files, not this script's
    setup_host_tools
    setup_quickstart
    ;;
esac
if [[ ${1-} == --setup ]]; then
  setup_say 'Everything is set up'
  exit 0
fi
setup_exec_cvm build "$@"
