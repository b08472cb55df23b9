#!/bin/sh
# The quickstart's workload: checks from inside the CVM that all a training job needs is there, says so, and ends.
# Each line goes to standard output (the VM's log) and to the application log.
set -u

kit=/user_config/nvflare
log=/applog/quickstart.log

say() {
    echo "quickstart: $*"
    echo "quickstart: $*" >>"$log" || exit 1
}

fail() {
    say "FAILED: $*"
    exit 1
}

say "running as uid $(id -u)"

# The startup kit: user_config as the site's administrator gave it to the builder.
[ -d "$kit" ] || fail "there is no startup kit at $kit"
client=$kit/startup/fed_client.json
[ -r "$client" ] || fail "cannot read $client"
site=$(sed -n 's/.*"name"[[:space:]]*:[[:space:]]*"\(site[^"]*\)".*/\1/p' "$client" | head -n 1)
[ -n "$site" ] || fail "$client names no site"
say "startup kit of $site"

# What is public in a kit comes from a drive of the host's, all else through the sealed image: here both are one folder.
for file in startup/rootCA.pem local/privacy.json local/resources.json; do
    [ -s "$kit/$file" ] || fail "$kit/$file is missing"
done
if (: >"$kit/local/planted") 2>/dev/null; then fail "$kit can be written to"; fi

# The private key must have come through the sealed image, for its owner only. It is never printed.
key=$kit/startup/client.key
[ -s "$key" ] || fail "the private key $key is missing"
mode=$(stat -c %a "$key")
[ "$mode" = 600 ] || fail "the private key $key has mode $mode, not 600"
say "private key is present, mode 600"

# The vault: the encrypted and authenticated place for results.
note=/vault/quickstart.txt
echo "written by $site" >"$note" || fail "cannot write $note"
[ "$(cat "$note")" = "written by $site" ] || fail "$note reads back differently"
say "vault is writable"

say "done"
