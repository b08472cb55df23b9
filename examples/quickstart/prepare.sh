#!/bin/sh
# Makes what cc_site-1.yml names: made/quickstart.tar.gz and made/site-1. Both appear complete or not at all, and what
# is there stays: the kit always, the archive until the workload in it has changed. cvm_build.sh runs this.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
made=$here/made
archive=$made/quickstart.tar.gz
kit=$made/site-1

archive_fits() {
    [ -n "$(find "$archive" -newer "$here/workload.sh" -newer "$here/make-archive.sh" 2>/dev/null)" ]
}

if archive_fits && [ -d "$kit" ]; then
    exit 0
fi

umask 022
mkdir -p "$made"
# One at a time; the lock ends with this process.
exec 9<"$made"
flock 9

# Beside the results, so that they only need renaming; what a killed run left goes first.
rm -rf "$made"/.new.*
work=$(mktemp -d "$made/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

if ! archive_fits; then
    "$here/make-archive.sh" "$work/archive" >/dev/null
    mv -f "$work/archive" "$archive"
fi
if [ ! -d "$kit" ]; then
    "$here/make-kit.sh" "$work/kit" site-1 >/dev/null
    mv -T "$work/kit" "$kit"
fi
echo "made $archive and $kit"
