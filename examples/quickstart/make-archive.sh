#!/bin/sh
# Makes the quickstart's docker archive from the host's static busybox, without a Docker daemon: two layers in the
# layout of `docker save`. The same busybox gives the same bytes.
#
#   make-archive.sh OUT.tar.gz
set -eu

if [ $# -ne 1 ]; then
    echo "usage: $0 OUT.tar.gz" >&2
    exit 2
fi
out=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
busybox=${BUSYBOX:-/bin/busybox}

# A dynamically linked busybox would find no libraries in the image; ldd lists those as "name => path".
if [ ! -x "$busybox" ] || ldd "$busybox" 2>/dev/null | grep -q '=>'; then
    echo "cannot make $out: $busybox is not a static busybox" >&2
    echo "hint: apt-get install busybox-static" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 022

# pack FOLDER: a tar of it on standard output that depends on nothing but names, modes and contents.
pack() {
    tar -C "$1" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - .
}

digest() {
    sha256sum "$1" | cut -d ' ' -f 1
}

# Layer 1: busybox with its commands, and the accounts.
base=$work/base
mkdir -p "$base/bin" "$base/etc" "$base/root" "$base/tmp"
chmod 0700 "$base/root"
chmod 1777 "$base/tmp"
install -m 0755 "$busybox" "$base/bin/busybox"
for command in cat cut date echo env grep head id ls mkdir mount nc ping ps rm sed sh sha256sum sleep stat test wget; do
    ln -s busybox "$base/bin/$command"
done
echo 'root:x:0:0:root:/root:/bin/sh' >"$base/etc/passwd"
echo 'root:x:0:' >"$base/etc/group"

# Layer 2: the workload.
app=$work/app
mkdir -p "$app/app"
install -m 0755 "$here/workload.sh" "$app/app/workload.sh"

image=$work/image
mkdir -p "$image"
layers=
diff_ids=
for layer in base app; do
    pack "$work/$layer" >"$work/$layer.tar"
    id=$(digest "$work/$layer.tar")
    mkdir -p "$image/$id"
    mv "$work/$layer.tar" "$image/$id/layer.tar"
    echo 1.0 >"$image/$id/VERSION"
    layers="$layers${layers:+,}\"$id/layer.tar\""
    diff_ids="$diff_ids${diff_ids:+,}\"sha256:$id\""
done

cat >"$work/config.json" <<JSON
{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/bin"],"Entrypoint":["/app/workload.sh"],"WorkingDir":"/app"},"rootfs":{"type":"layers","diff_ids":[$diff_ids]}}
JSON
config=$(digest "$work/config.json").json
mv "$work/config.json" "$image/$config"
cat >"$image/manifest.json" <<JSON
[{"Config":"$config","RepoTags":["cvm-quickstart:latest"],"Layers":[$layers]}]
JSON

# To a temporary name first: an interrupted run leaves no half archive.
pack "$image" | gzip -n -6 >"$out.part"
mv "$out.part" "$out"
echo "made $out"
