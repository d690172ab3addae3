#!/bin/sh
# The whole product on this machine's loopback: credit office, daemon, Redis, backends, nginx with the gate, terminals.
#
#   sh conf/demo.sh          tells the story, then waits with commands to try; Ctrl-C ends everything
#   sh conf/demo.sh --once   tells the story and ends: exit code 0 only if every step was as told
#
# Everything lives in build/demo. The configurations are those of conf/, with paths and ports of the demo.
set -eu
cd "$(dirname "$0")/.."
TOP=$PWD
B=$TOP/build
D=$B/demo
export LC_ALL=C.UTF-8
once=0
case ${1:-} in
--once) once=1 ;;
"") ;;
-h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) echo "conf/demo.sh: unknown option '$1' (only --once)" >&2; exit 2 ;;
esac

# ---- telling ----------------------------------------------------------------------------------------
wrong=0
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
tell() { printf '  %s\n' "$*"; }
is() { # is WHAT GOT WANTED
    if [ "$2" = "$3" ]; then printf '  ok   %s: %s\n' "$1" "$2"
    else printf '  \033[31mWRONG %s: %s, should be %s\033[0m\n' "$1" "$2" "$3"; wrong=$((wrong + 1)); fi
}
die() { echo "conf/demo.sh: $*" >&2; exit 1; }

# ---- processes: ended by pid, newest first ------------------------------------------------------------
pids=
start() { # start NAME COMMAND...
    name=$1
    shift
    "$@" >>"$D/$name.log" 2>&1 &
    eval "pid_$name=$!"
    pids="$! $pids"
}
end_all() {
    trap - EXIT INT TERM
    for p in $pids; do kill -CONT "$p" 2>/dev/null || true; kill "$p" 2>/dev/null || true; done
    for p in $pids; do wait "$p" 2>/dev/null || true; done
}
trap end_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# until_ok SECONDS COMMAND...: waits for a condition
until_ok() {
    deadline=$(($(date +%s) + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$(date +%s)" -lt "$deadline" ] || return 1
        sleep 0.02
    done
}
ms() { echo $(($(date +%s%N) / 1000000)); }
free_port() {
    port=${port:-18080}
    while port=$((port + 1)); ss -Hltn "sport = :$port" | grep -q .; do :; done
}

# ---- build ------------------------------------------------------------------------------------------
. conf/packages.sh
install_packages "$BUILD_PACKAGES $RUN_PACKAGES"
step "Building"
make -s -j2 all || die "the build failed"
tell "build/ngx_jd_module.so, build/restrict-cached, build/rcctl, build/terminal-sim"
PATH=$PATH:/usr/sbin:/sbin

# ---- configurations ------------------------------------------------------------------------------------
rm -rf "$D"
mkdir -p "$D/logs" "$D/tmp" "$D/redis"
chmod 700 "$D"
free_port; GATE=$port
free_port; REDIS=$port
free_port; BUS=$port
free_port; LIBRARY=$port
free_port; CARD=$port
free_port; OFFICE=$port
secret() { openssl rand -hex 16; }
sha() { printf %s "$1" | sha256sum | cut -d' ' -f1; }

umask 077
gate_password=$(secret)
sync_password=$(secret)
echo "k1 $(secret)" >"$D/digest.key"
echo "jd_gate $gate_password" >"$D/gate.auth"
echo "jd_sync $sync_password" >"$D/sync.auth"
sed -e "s/@GATE_SHA256@/$(sha "$gate_password")/" -e "s/@SYNC_SHA256@/$(sha "$sync_password")/" conf/redis.acl >"$D/redis.acl"
sed -e "s#^port .*#port $REDIS#" -e "s#^dir .*#dir $D/redis#" -e "s#^aclfile .*#aclfile $D/redis.acl#" conf/redis.conf >"$D/redis.conf"
user=; [ "$(id -u)" -ne 0 ] || user="user root;"
sed -e "s#/usr/lib/nginx/modules#$B#" -e "s#^user .*#$user#" -e "s#/run/nginx.pid#$D/nginx.pid#" \
    -e "s#/var/log/nginx#$D/logs#" -e "s#/var/lib/jd/#$D/#" -e "s#/etc/jd/#$D/#" -e "s#/etc/nginx/#$TOP/conf/#" \
    -e "s#127.0.0.1:6379#127.0.0.1:$REDIS#" -e "s#127.0.0.1:8080#127.0.0.1:$GATE#" \
    -e "s#:9101#:$BUS#" -e "s#:9102#:$LIBRARY#" -e "s#:9103#:$CARD#" \
    -e "s#max_stale  1h#max_stale  6s#" conf/nginx.conf >"$D/nginx.conf"
sed -i "s#^http {#http {\n    client_body_temp_path $D/tmp/body;\n    proxy_temp_path $D/tmp/proxy;\n    fastcgi_temp_path $D/tmp/f;\n    uwsgi_temp_path $D/tmp/u;\n    scgi_temp_path $D/tmp/s;#" "$D/nginx.conf"

"$B/terminal-sim" office init "$D/office" --list credit --iss https://office.example --aud jd:gateway:example-city >/dev/null
sed -e "s#/var/lib/jd/credit#$D/state#" -e "s#/etc/jd/office.jwks#$D/office/jwks.json#" -e "s#/etc/jd/office-ca.pem#$D/office/ca.pem#" \
    -e "s#/etc/jd/office.token#$D/office/token#" -e "s#/etc/jd/#$D/#" \
    -e "s#^base = .*#base = https://127.0.0.1:$OFFICE/v1#" -e "s#^address = .*#address = 127.0.0.1:$REDIS#" \
    -e "s#^expected = .*#expected = 10000#" conf/restrict-cached.conf >"$D/restrict-cached.conf"
for measure in bus.ride bike.rent library.checkout tour.annual_pass; do
    cat >>"$D/restrict-cached.conf" <<E2

[measure $measure]
legal_source = Rules on city services of Example, article 7 (fictional, for this demo)
authority = Example City Transport Authority
max_term = 365d
E2
done
"$B/rcctl" audit keygen "$D/audit.key" >"$D/audit.jwk"
cat >>"$D/restrict-cached.conf" <<E2

[audit]
key_file = $D/audit.key
every_records = 100

[ledger]
report_sec = 2
E2

# ---- orders of this story -----------------------------------------------------------------------------------
# Each order's relevance ties the measure to the conduct; all of it is fictional.
order() { # order NUMBER SCHEME ID MEASURES(JSON) RELEVANCE
    printf '{"order":"%s","subject":{"scheme":"%s","id":"%s"},"measures":%s,"authority":"Example City Transport Authority","basis":"Rules on city services of Example, article 7 (fictional)","relevance":"%s","served":"%s","from":"%sT00:00:00+08:00","until":"%sT00:00:00+08:00","effect":"enforce","objection":false,"contest":{"url":"https://authority.example/contest","phone":"0100-0000"},"repair":{"url":"https://authority.example/repair","phone":"0100-0001"}}\n' \
        "$1" "$2" "$3" "$4" "$5" "$(date -d '-20 days' +%F)" "$(date -d '-10 days' +%F)" "$(date -d '+90 days' +%F)"
}
test_ids() { "$B/terminal-sim" office generate "$1" --seed "$2" --scheme cnid | jq -r .subject.id; }    # of a region that does not exist
LI_ID=$(test_ids 2 1 | sed -n 1p) WANG_ID=$(test_ids 2 1 | sed -n 2p) ZHAO_ID=$(test_ids 3 1 | sed -n 3p)
LI=3401005512 LI_PATRON=P-3401005512 CHILD=3401006666 WANG=3401007777 WANG_NEW=3401008888
{
    order EX-2026-0117 cnid "$LI_ID" '["bus.ride","bike.rent"]' "fares and rentals left unpaid after a formal demand"
    order EX-2026-0118 cnid "$LI_ID" '["bus.ride","library.checkout"]' "fares and loans owed from another year"
    order EX-2026-0119 cnid "$WANG_ID" '["bus.ride","tour.annual_pass"]' "a transport pass forged"
} >"$D/orders.ndjson"
"$B/terminal-sim" office generate 500 --seed 7 --scheme cnid --measures bus.ride --authority "Example City Transport Authority" >"$D/generated.ndjson"

# Whose cards they are; the terminals' oracle reads the same links.
{
    echo card,holder,use,from,until
    echo "$LI,cnid:$LI_ID,own,,"
    echo "patron:$LI_PATRON,cnid:$LI_ID,own,,"
    echo "$CHILD,cnid:$LI_ID,other,,"
    echo "$WANG,cnid:$WANG_ID,own,,"
    jq -r '"99060000\(1e7 + input_line_number | tostring | .[1:]),cnid:\(.subject.id),own,,"' "$D/generated.ndjson"
} >"$D/holders.csv"
links() { tail -n +2 "$D/holders.csv" | jq -cR 'split(",") | {link: {card: .[0], holder: .[1], use: .[2]}}'; }

# ---- start ------------------------------------------------------------------------------------------------------
step "Starting office, Redis, daemon, backends and nginx on loopback, in build/demo"
start office "$B/terminal-sim" office serve "$D/office" --port "$OFFICE" --idle 1000
start redis redis-server "$D/redis.conf"
start backends "$B/terminal-sim" backends --bus-validator "$BUS" --library-checkout "$LIBRARY" --citizen-card "$CARD" --ports-file "$D/ports"
until_ok 10 test -s "$D/ports" || die "the backends did not start: $D/backends.log"
redis_up() { redis-cli -p "$REDIS" ping | grep -q 'NOAUTH\|PONG'; }
until_ok 10 redis_up || die "Redis did not start: $D/redis.log"
"$B/restrict-cached" -t -c "$D/restrict-cached.conf" | sed 's/^/  /'
start daemon "$B/restrict-cached" -c "$D/restrict-cached.conf"
nginx -p "$D" -c "$D/nginx.conf" -e stderr -t 2>&1 | sed -n 's/^.*jd: /  nginx -t: /p'
start nginx nginx -p "$D" -c "$D/nginx.conf" -e "$D/logs/error.log" -g 'daemon off;'

U=http://127.0.0.1:$GATE
tap() { curl -s -o "$D/answer" -w '%{http_code}' -m 5 -H "X-Card-No: $1" "$U/bus/tap"; }
loan() { curl -s -o "$D/answer" -w '%{http_code}' -m 5 -H 'Content-Type: application/json' -d "{\"patron_barcode\":\"$1\",\"item_barcode\":\"9000000042\"}" "$U/library/checkout"; }
bike() { curl -s -o "$D/answer" -w '%{http_code}' -m 5 -d "card=$1" "$U/card/bike"; }
tour() { curl -s -o "$D/answer" -w '%{http_code}' -m 5 -d "card=$1" "$U/card/tour"; }
status() { curl -s -m 5 "$U/jd/status"; }
ready() { status | jq -e '.lists[0].ready' ; }
taps_as() { [ "$(tap "$1")" = "$2" ]; }
reason_count() {
    curl -s -m 5 "$U/jd/metrics" | grep '^jd_decisions_total{' | grep "reason=\"$1\"" | awk '{ s += $NF } END { print s + 0 }'
}

rcctl() { "$B/rcctl" -c "$D/restrict-cached.conf" "$@"; }
waits() { rcctl --json approve | jq -er .waits.hash; }
approved() { [ "$(rcctl --json approve | jq .waits)" = null ]; }
approve() { # approve [--first]: the operator looks at what waits, then names it
    until_ok 20 waits || die "nothing waits for approval: $D/daemon.log"
    rcctl approve | sed 's/^/    /'
    rcctl approve "$(waits)" "$@" | sed 's/^/    /'
    until_ok 20 approved || die "not applied: $D/daemon.log"
}
step "0. The first list of all, an empty one here, waits for the operator: rcctl approve"
approve --first

until_ok 20 ready || die "the gate did not become ready: $D/logs/error.log, $D/daemon.log"
tell "the gate listens on $U and is ready: the office's list is empty"
tell "the citizen-card centre says whose cards they are: rcctl holders import --full holders.csv"
rcctl holders import --full "$D/holders.csv" 2>/dev/null | sed 's/^/    /'
is "Li's card before any order" "$(tap $LI)" 200

# ---- the story -----------------------------------------------------------------------------------------------------
step "1. The office publishes three orders, and 500 more"
t0=$(ms)
"$B/terminal-sim" office publish "$D/office" "$D/orders.ndjson" | sed 's/^/  /'
until_ok 10 taps_as $LI 403 || true
tell "from publish to the first denial: $(($(ms) - t0)) ms, both commands included"
"$B/terminal-sim" office publish "$D/office" "$D/generated.ndjson" >/dev/null
ONE=$(tail -n 1 "$D/holders.csv" | cut -d, -f1)
tell "500 at once are more than the list may grow by (the larger of 10 % and 100 orders): they wait"
until_ok 20 waits || die "nothing waits for approval: $D/daemon.log"
is "one of the 500 at the bus, before the operator's word" "$(tap "$ONE")" 200
approve
until_ok 10 taps_as "$ONE" 403 || true
is "one of the 500 at the bus, after it" "$(tap "$ONE")" 403
step "2. A card of a person under an order, at the bus: denied, and told why"
is "Li's card at the bus" "$(tap $LI)" 403
jq . "$D/answer" | sed 's/^/    /'
is "which order" "$(jq -r .order "$D/answer")" EX-2026-0117
ID=$(jq -r .decision_id "$D/answer")
is "the display, in English on request" "$(curl -s -H 'Accept-Language: en-GB,en;q=0.9' -H "X-Card-No: $LI" "$U/bus/tap" | jq -r .display)" \
    "This service is not available here with this card. See the slip, or pay another way."

step "3. Everybody else rides; the same person elsewhere; a measure on trial"
is "a card under no order" "$(tap 3401000001)" 200
is "Li at the library (the same person, by another card)" "$(loan $LI_PATRON)" 403
is "a card that Li holds for a child: not Li's own" "$(tap $CHILD)" 200
is "another reader at the library" "$(loan P-1)" 200
is "Li at bike rental" "$(bike $LI)" 403
is "Wang at bike rental: the order does not name it" "$(bike $WANG)" 200
is "Wang buys a tour pass: dry run, observed and not refused" "$(tour $WANG)" 200
status | jq -c '.lists[0] | {ready, fault, count, age}' 2>/dev/null | sed 's/^/  jd_status: /' || true

step "4. Bus validators tap: 400 a second for 5 s, one in ten under an order"
{ cat "$D/orders.ndjson" "$D/generated.ndjson"; links; } >"$D/oracle.ndjson"
if "$B/terminal-sim" bus --url "$U" --rate 400 --connections 16 --duration 5 --clean 10000 --seed 7 --listed "$D/oracle.ndjson" \
    --share-listed 10 >"$D/bus.txt" 2>"$D/bus.progress"; then rc=0; else rc=$?; fi
sed 's/^/    /' "$D/bus.txt"
is "the oracle's verdict (exit code of the terminals)" "$rc" 0

step "5. The operator's desk: the slip's decision id is opened; what the person is told"
rcctl explain "$ID" | sed 's/^/    /'
echo "cnid:$LI_ID" | rcctl holder-report --lang en 2>/dev/null | sed 's/^/    /'

step "6. Two orders on one person: lifting one neither frees nor keeps the other"
t0=$(ms)
"$B/terminal-sim" office lift "$D/office" EX-2026-0117 | sed 's/^/  /'
bikes_as() { [ "$(bike "$1")" = "$2" ]; }
until_ok 10 bikes_as $LI 200 || true
tell "from lift to the first pass: $(($(ms) - t0)) ms, both commands included"
is "Li at bike rental: only EX-2026-0117 named it" "$(bike $LI)" 200
is "Li's card at the bus" "$(tap $LI)" 403
is "which order" "$(jq -r .order "$D/answer")" EX-2026-0118
"$B/terminal-sim" office lift "$D/office" EX-2026-0118 --measures bus.ride | sed 's/^/  /'
until_ok 10 taps_as $LI 200 || true
is "Li's card at the bus, after a lift of that measure alone" "$(tap $LI)" 200
is "Li at the library: that measure is still in force" "$(loan $LI_PATRON)" 403

step "7. Wang's card is replaced: the order follows the person, not the plastic"
link() { printf '%s\n%s\n' "$2" "cnid:$3" | rcctl holders "$1" 2>/dev/null | sed 's/^/    /'; }
is "the new card, before it is anybody's" "$(tap $WANG_NEW)" 200
t0=$(ms)
link remove $WANG "$WANG_ID"
link add $WANG_NEW "$WANG_ID"
until_ok 10 taps_as $WANG_NEW 403 || true
tell "from rcctl holders to the first denial: $(($(ms) - t0)) ms, both commands included"
is "the new card" "$(tap $WANG_NEW)" 403
is "the old card, which is nobody's now" "$(tap $WANG)" 200
link add $WANG "$ZHAO_ID"
is "the old card, which is Zhao's now" "$(tap $WANG)" 200

step "8. A stay: the desk sees a mistaken identity, and frees the person at once, also with the daemon down"
echo "cnid:$WANG_ID" | rcctl stay --subject --reason "mistaken identity, seen at the desk" 2>/dev/null | sed 's/^/    /'
is "Wang's card, at once" "$(tap $WANG_NEW)" 200
tell "reason counted: stayed $(reason_count stayed)"
echo "cnid:$WANG_ID" | rcctl unstay --subject --reason "the identity is confirmed" 2>/dev/null | sed 's/^/    /'
until_ok 10 taps_as $WANG_NEW 403 || true
is "Wang's card, after unstay" "$(tap $WANG_NEW)" 403
kill -9 "$pid_daemon"
wait "$pid_daemon" 2>/dev/null || true
rc=0
rcctl stay --order EX-2026-0119 --reason "court order 2026/18, told by telephone" >"$D/stay.txt" 2>&1 || rc=$?
sed 's/^/    /' "$D/stay.txt"
is "exit code: in Redis directly, the daemon takes it up" "$rc" 6
is "Wang's card, with the daemon killed" "$(tap $WANG_NEW)" 200
start daemon "$B/restrict-cached" -c "$D/restrict-cached.conf"
stays_one() { rcctl --json stays | jq -e '.waiting == 0 and (.stays | length == 1)'; }
until_ok 20 stays_one || is "the daemon has taken the stay up" "$(rcctl --json stays)" "one stay, none waiting"
is "Wang's card, the daemon back" "$(tap $WANG_NEW)" 200
rcctl unstay --order EX-2026-0119 --reason "the court has decided" 2>/dev/null | sed 's/^/    /'
until_ok 10 taps_as $WANG_NEW 403 || true

step "9. The office falls silent: nothing is enforced past max_stale (6 s here, 1 h in conf/nginx.conf)"
kill -STOP "$pid_office"
is "Wang's card, list still fresh" "$(tap $WANG_NEW)" 403
t0=$(ms)
until_ok 40 taps_as $WANG_NEW 200 || true
tell "after $((($(ms) - t0) / 1000)) s of silence:"
is "Wang's card" "$(tap $WANG_NEW)" 200
tell "reason counted: stale $(reason_count stale)"
kill -CONT "$pid_office"
t0=$(ms)
until_ok 60 taps_as $WANG_NEW 403 || true
tell "the office speaks again; enforced after $(($(ms) - t0)) ms"
is "Wang's card" "$(tap $WANG_NEW)" 403

step "10. Redis is killed (kill -9): everybody rides"
kill -9 "$pid_redis"
wait "$pid_redis" 2>/dev/null || true
is "Wang's card" "$(tap $WANG_NEW)" 200
is "a card under no order" "$(tap 3401000001)" 200
tell "reason counted: unconfirmed $(reason_count unconfirmed)"
start redis redis-server "$D/redis.conf"
t0=$(ms)
until_ok 60 taps_as $WANG_NEW 403 || true
tell "Redis is back; enforced again after $(($(ms) - t0)) ms, without a hand"
is "Wang's card" "$(tap $WANG_NEW)" 403
is "Li's lift still stands" "$(tap $LI)" 200

step "11. nginx reloads: the list is kept"
kill -HUP "$pid_nginx"
is "Wang's card, at once" "$(tap $WANG_NEW)" 403

step "12. Afterwards: one order's life, and whether anybody has touched the record of it"
rcctl audit show --order EX-2026-0118 | sed 's/^/    /'
rc=0
rcctl audit verify --receipts >"$D/verify.txt" 2>&1 || rc=$?
sed 's/^/    /' "$D/verify.txt"
is "the audit chain is whole (exit code)" "$rc" 0
sed '/"kind":"lift","order":"EX-2026-0118"/s/bus.ride/bus.rid3/' "$D/state/audit.log" >"$D/tampered.log"
rc=0
rcctl audit verify --file "$D/tampered.log" --keys "$D/audit.jwk" >"$D/verify.txt" 2>&1 || rc=$?
sed 's/^/    /' "$D/verify.txt" | head -3
is "a copy in which one letter of that lift was changed (exit code)" "$rc" 1

if grep -E '\[(alert|crit|emerg)\]' "$D/logs/error.log"; then is "nginx's error log" "alerts" "none"; fi
step "$([ $wrong -eq 0 ] && echo 'Every step was as told.' || echo "$wrong steps were not as told.")"

if [ $once -eq 1 ]; then
    [ $wrong -eq 0 ] || exit 1
    exit 0
fi
cat <<E3

Status:   $U/jd/status      (Prometheus: $U/jd/metrics)
Try:      curl -i -H 'X-Card-No: $WANG_NEW' $U/bus/tap
          build/rcctl -c build/demo/restrict-cached.conf status
          echo $WANG_NEW | build/rcctl -c build/demo/restrict-cached.conf check --scheme card --measure bus.ride
          build/terminal-sim office lift build/demo/office EX-2026-0119
          build/terminal-sim office fault build/demo/office status=500
Logs:     build/demo/logs/error.log, build/demo/daemon.log
Ctrl-C ends everything.
E3
while kill -0 "$pid_nginx" 2>/dev/null; do sleep 1; done
