#!/bin/bash
# Stores the resource policy, and then disk keys, in a key broker (KBS) by means of its own kbs-client.
#
#     set-policy.sh POLICY [RESOURCE_PATH KEY_FILE]...
#
# The builder runs this where builder.yml says "kbs.push: script": copy it into the policy directory, make it
# executable, and change what differs at your site. It is for brokers that only their own client reaches. Where the
# builder can reach the broker itself, "kbs.push: auto" does more: it verifies, and it stores reference values, which
# kbs-client cannot store as a list of several.
#
# The builder sets these variables from builder.yml; all but the first may be missing:
#     CVM_KBS_URL          address of the broker, without /kbs/v0
#     CVM_KBS_CA           certificate (PEM) that the broker's own chains to
#     CVM_KBS_ADMIN_KEY    file with the administrator's Ed25519 key: for kbs-client up to v0.20
#     CVM_KBS_ADMIN_TOKEN  file with the administrator's token: for kbs-client from v0.21 on
#     CVM_KBS_CLIENT       the kbs-client; the one on PATH where this is missing
#
# A key file is overwritten and removed once the broker has its key. Status 0: all was stored. On any other status
# run it again: everything it does may be done twice.

set -euo pipefail

fail() {
    printf 'set-policy.sh: %s\n' "$1" >&2
    exit 1
}

[ $# -ge 1 ] || fail 'usage: set-policy.sh POLICY [RESOURCE_PATH KEY_FILE]...'
policy=$1
shift
[ $(($# % 2)) -eq 0 ] || fail 'each resource path needs a key file after it'
[ -f "$policy" ] || fail "there is no policy $policy"

client=${CVM_KBS_CLIENT:-kbs-client}
command -v -- "$client" > /dev/null || fail "there is no $client: put kbs-client on PATH, or set CVM_KBS_CLIENT"
[ -n "${CVM_KBS_URL:-}" ] || fail 'CVM_KBS_URL is not set'

common=(--url "$CVM_KBS_URL")
# kbs-client trusts the system's certificate authorities besides this one.
[ -z "${CVM_KBS_CA:-}" ] || common+=(--cert-file "$CVM_KBS_CA")

# The way to prove who asks changed with v0.21. Without a token newer clients go on as nobody, so it is demanded here.
usage=$("$client" config --help 2>&1 || true)
case $usage in
    *--admin-token-file*)
        [ -n "${CVM_KBS_ADMIN_TOKEN:-}" ] || fail 'this kbs-client (v0.21 or later) needs kbs.admin_token'
        admin=(--admin-token-file "$CVM_KBS_ADMIN_TOKEN")
        ;;
    *--auth-private-key*)
        [ -n "${CVM_KBS_ADMIN_KEY:-}" ] || fail 'this kbs-client (v0.20 or earlier) needs kbs.admin_key'
        admin=(--auth-private-key "$CVM_KBS_ADMIN_KEY")
        ;;
    *) fail "$client is no kbs-client known here: its \"config\" takes neither a key nor a token" ;;
esac

config() {
    "$client" "${common[@]}" config "${admin[@]}" "$@"
}

# The policy comes first: under the one that a broker is shipped with, any confidential VM could read the keys.
config set-resource-policy --policy-file "$policy" || fail 'the policy was not stored; no key was sent'
printf 'policy %s stored\n' "$policy"

while [ $# -gt 0 ]; do
    path=$1
    key=$2
    shift 2
    # On success set-resource prints the secret on standard output.
    config set-resource --path "$path" --resource-file "$key" > /dev/null || fail "the key $path was not stored"
    shred -u -- "$key" || fail "the broker has the key $path, but $key could not be removed: do so by hand"
    printf 'key %s stored, its file removed\n' "$path"
done
