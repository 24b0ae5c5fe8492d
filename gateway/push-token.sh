#!/bin/sh
# Fetches an access token from OPPO or vivo, which is valid for 24 hours, and writes it into the auth-file of a profile
# (docs/PAYLOADS.md, "Vendors' own services"). fswake reads the new file within a second.
#
#   push-token.sh oppo|vivo KEYS-FILE AUTH-FILE
#
# Run it as fswake's user, some times a day. KEYS-FILE has lines id=.. (vivo's AppId), key=.. (AppKey) and secret=.. (OPPO's
# MasterSecret, vivo's AppSecret), and url=.. for another address than the vendor's. Needs curl.
set -eu

vendor=$1 keys=$2 file=$3
setting() {
    sed -n "s/^$1=//p" "$keys"
}
id=$(setting id) key=$(setting key) secret=$(setting secret) url=$(setting url)
now=$(date +%s)000

# Secrets and signatures go through pipes: every user can read a command's arguments.
ask() {
    curl --silent --show-error --fail --max-time 20 --header "Content-Type: $2" --data-binary @- "$1"
}
case $vendor in
oppo)
    sign=$(printf %s "$key$now$secret" | sha256sum | cut -d ' ' -f 1)
    answer=$(printf 'app_key=%s&timestamp=%s&sign=%s' "$key" "$now" "$sign" |
        ask "${url:-https://api.push.oppomobile.com/server/v1/auth}" application/x-www-form-urlencoded)
    member=auth_token line=auth_token=
    ;;
vivo)
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
token=$(printf %s "$answer" | sed -n "s/.*\"$member\" *: *\"\([^\"]*\)\".*/\1/p")
if [ -z "$token" ]; then
    echo "$vendor gave no token: $answer" >&2
    exit 1
fi
umask 077
printf '%s\n' "$line$token" > "$file.new"
mv "$file.new" "$file"
