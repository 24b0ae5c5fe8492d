#!/bin/sh
# Fetches an access token from OPPO or vivo, which is valid for 24 hours, and writes it into the auth-file of a profile
# (docs/PAYLOADS.md, "Vendors' own services"). fswake reads the new file within a second.
#
#   push-token.sh oppo|vivo KEYS-FILE AUTH-FILE
#
# Run it as fswake's user, some times a day. KEYS-FILE has lines id=.. (vivo's AppId), key=.. (AppKey) and secret=.. (OPPO's
# MasterSecret, vivo's AppSecret), and url=.. for another https address than the vendor's. Needs curl.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: push-token.sh oppo|vivo KEYS-FILE AUTH-FILE" >&2
    exit 2
fi
vendor=$1 keys=$2 file=$3

# The first line of this name, without a line end of Windows.
setting() {
    sed -n "s/^$1=//p" "$keys" | head -n 1 | tr -d '\r'
}
need() {
    if [ -z "$2" ]; then
        echo "$keys has no line $1=.." >&2
        exit 2
    fi
}
id=$(setting id) key=$(setting key) secret=$(setting secret) url=$(setting url)
need key "$key"
need secret "$secret"
now=$(date +%s)000

# Secrets and signatures go through pipes: every user can read a command's arguments.
ask() {
    curl --disable --silent --show-error --fail --proto '=https' --max-time 20 \
        --header "Content-Type: $2" --data-binary @- "$1"
}
case $vendor in
oppo)
    sign=$(printf %s "$key$now$secret" | sha256sum | cut -d ' ' -f 1)
    answer=$(printf 'app_key=%s&timestamp=%s&sign=%s' "$key" "$now" "$sign" |
        ask "${url:-https://api.push.oppomobile.com/server/v1/auth}" application/x-www-form-urlencoded)
    member=auth_token line=auth_token=
    ;;
vivo)
    need id "$id"
    sign=$(printf %s "$id$key$now$secret" | md5sum | cut -d ' ' -f 1)
    answer=$(printf '{"appId":%s,"appKey":"%s","timestamp":%s,"sign":"%s"}' "$id" "$key" "$now" "$sign" |
        ask "${url:-https://api-push.vivo.com.cn/message/auth}" application/json)
    member=authToken line='authToken: '
    ;;
*)
    echo "$vendor: oppo or vivo" >&2
    exit 2
    ;;
esac
# A token has no character that JSON escapes.
token=$(printf %s "$answer" | sed -n "s/.*\"$member\" *: *\"\([^\"\\\\]*\)\".*/\1/p")
if [ -z "$token" ]; then
    # The reply may hold a token in another form: only its code and its message are shown.
    why=$(printf %s "$answer" | grep -o '"\(code\|result\|message\|desc\)" *: *\("[^"]*"\|-\{0,1\}[0-9]*\)' || true)
    echo "$vendor gave no token: ${why:-the reply has no code}" >&2
    exit 1
fi
umask 077
new=$(mktemp "$(dirname "$file")/.push-token.XXXXXX")
trap 'rm -f "$new"' EXIT
printf '%s\n' "$line$token" > "$new"
mv "$new" "$file"
