#!/bin/sh
# Makes the application image without Docker, as the Dockerfile beside it describes it: Debian's or Ubuntu's Python, of
# the release that this machine runs, with the packages of a virtual environment of that same Python; then the code that
# jobs may use. The result has the layout of `docker save`.
#
#   make-image.sh VENV OUT.tar.gz
#
# Needs mmdebstrap, and root or user namespaces. Room for 1 GB below TMPDIR.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: $0 VENV OUT.tar.gz" >&2
    exit 2
fi
venv=$1
out=$2
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

die() {
    echo "cannot make $out: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

command -v mmdebstrap >/dev/null || die 'mmdebstrap is not installed' 'apt-get install mmdebstrap'
[ -x "$venv/bin/nvflare" ] || die "$venv is no virtual environment with nvflare" \
    "pip install --require-hashes -r $here/requirements.txt"
suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# For instance lib/python3.11/site-packages: modules compiled for another version would not be found.
packages=$(cd -- "$venv" && echo lib/python3.*/site-packages)
version=${packages#lib/python}
version=${version%%/*}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
umask 022
image=$work/image
mkdir "$image"

# Layer 1: the distribution's Python and what FLARE's start scripts use. Manuals and translations stay out.
mmdebstrap --quiet --variant=essential --include=python3,libstdc++6,ca-certificates --skip=output/dev \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$work/system.tar"
tar -tf "$work/system.tar" ./usr/bin/python"$version" >/dev/null 2>&1 ||
    die "$venv is of Python $version, and $suite has another" \
        "make it with the distribution's own: /usr/bin/python3 -m venv $venv"

# pack FOLDER OUT [TAR OPTION]…: times are kept, because Python compares those of its compiled modules.
pack() {
    folder=$1
    file=$2
    shift 2
    tar -C "$folder" --format=posix --pax-option=delete=atime,delete=ctime,delete=mtime --sort=name --owner=0 --group=0 \
        --numeric-owner "$@" -cf "$file" .
}

# Layer 2: the packages, with their compiled modules, which save the VM a minute at each start.
pack "$venv/$packages" "$work/packages.tar" --exclude=./pip --exclude='./pip-*' --exclude=./setuptools \
    --exclude='./setuptools-*' --exclude=./pkg_resources --exclude=./_distutils_hack --exclude='./distutils-*' \
    --transform="s,^\\.,./usr/local/lib/python$version/dist-packages,S"

# Layer 3: the code.
mkdir -p "$work/code/local/custom" "$work/code/opt/certs"
cp "$here"/code/*.py "$work/code/local/custom"
pack "$work/code" "$work/code.tar"

layers=
diff_ids=
for layer in system packages code; do
    id=$(sha256sum "$work/$layer.tar" | cut -d ' ' -f 1)
    mkdir "$image/$id"
    mv "$work/$layer.tar" "$image/$id/layer.tar"
    layers="$layers${layers:+,}\"$id/layer.tar\""
    diff_ids="$diff_ids${diff_ids:+,}\"sha256:$id\""
done

cat >"$work/config.json" <<JSON
{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":{"Env":["PATH=/usr/local/bin:/usr/bin:/bin","LANG=C.UTF-8","PYTHONDONTWRITEBYTECODE=1"],"Entrypoint":["/user_config/nvflare/startup/sub_start.sh","--verify"]},"rootfs":{"type":"layers","diff_ids":[$diff_ids]}}
JSON
config=$(sha256sum "$work/config.json" | cut -d ' ' -f 1).json
mv "$work/config.json" "$image/$config"
cat >"$image/manifest.json" <<JSON
[{"Config":"$config","RepoTags":["nvflare-site:latest"],"Layers":[$layers]}]
JSON

# To a temporary name first: an interrupted run leaves no half archive.
tar -C "$image" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -cf - . | gzip -n -1 >"$out.part"
mv "$out.part" "$out"
echo "made $out"
