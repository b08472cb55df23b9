#!/bin/sh
# Makes an example startup kit: the files of startup_kit/, and a private key and certificates that are made afresh and
# are good for nothing but trying the builder. A real kit comes from `nvflare provision`.
#
#   make-kit.sh DIR [SITE]
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: $0 DIR [SITE]" >&2
    exit 2
fi
kit=$1
site=${2:-site-1}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

case $site in
    site-*[!A-Za-z0-9-]* | site-) site= ;;
    site-*) ;;
    *) site= ;;
esac
if [ -z "$site" ]; then
    echo "cannot make a kit for site ${2:-}: the name must be site- and letters, digits or hyphens" >&2
    exit 2
fi
if [ -e "$kit" ]; then
    echo "cannot make $kit: it exists" >&2
    exit 1
fi

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

mkdir -p "$kit/startup" "$kit/local"
for file in startup/fed_client.json local/resources.json local/privacy.json; do
    sed "s/@SITE@/$site/g" "$here/startup_kit/$file" >"$kit/$file"
done
install -m 0755 "$here/startup_kit/startup/sub_start.sh" "$kit/startup/sub_start.sh"

# A certificate authority for this kit alone: its key is dropped with $work.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=cvm-quickstart" \
    -keyout "$work/ca.key" -out "$kit/startup/rootCA.pem" 2>/dev/null
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$site" \
    -keyout "$kit/startup/client.key" -out "$work/client.csr" 2>/dev/null
openssl x509 -req -in "$work/client.csr" -CA "$kit/startup/rootCA.pem" -CAkey "$work/ca.key" -CAcreateserial \
    -CAserial "$work/serial" -days 30 -out "$kit/startup/client.crt" 2>/dev/null

chmod 0755 "$kit" "$kit/startup" "$kit/local"
chmod 0644 "$kit"/local/*.json "$kit"/startup/*.json "$kit/startup/rootCA.pem" "$kit/startup/client.crt"
chmod 0600 "$kit/startup/client.key"
echo "made $kit for $site"
