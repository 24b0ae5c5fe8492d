#!/bin/sh
# Wakes a user's phones through fswake and prints where one can be rung (docs/GATEWAY.md).
#
#   wake.sh USER@DOMAIN [CALLER] [SECONDS]
#
# Exit code 0: a phone can be rung. 1: none can; stderr says why. Needs curl. FSWAKE is fswake's address, FSWAKE_TOKEN the
# token of http.token-file, where there is one.
set -eu

aor=$1 caller=${2:-} seconds=${3:-20}
url=${FSWAKE:-http://127.0.0.1:8085}/v1/wake

# JSON texts: a quote and a backslash are escaped, control characters are left out.
text() {
    printf '%s' "$1" | tr -d '\000-\037' | sed 's/["\\]/\\&/g'
}

body=$(printf '{"aor":"%s","caller":"%s","wait_ms":%d}' "$(text "$aor")" "$(text "$caller")" $((seconds * 1000)))
set -- --silent --show-error --max-time $((seconds + 5)) --header 'Content-Type: application/json' --data-binary "$body"
[ -z "${FSWAKE_TOKEN:-}" ] || set -- "$@" --header "Authorization: Bearer $FSWAKE_TOKEN"
answer=$(curl "$@" "$url") || exit 1

# One member of the answer, as far as the first quote: contact and detail have none inside.
member() {
    printf '%s\n' "$answer" | sed -n "s/^[^[]*\"$1\":\"\([^\"]*\)\".*/\1/p"
}

if [ "$(member result)" = woken ]; then
    member contact
else
    echo "$aor: $(member detail)" >&2
    exit 1
fi
