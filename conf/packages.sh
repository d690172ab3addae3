# Debian packages that the product needs, sourced by conf/demo.sh and tests/run.sh.

BUILD_PACKAGES="gcc make libc6-dev nginx-dev libhiredis-dev libssl-dev libcjson-dev libcurl4-openssl-dev
    libinih-dev libsqlite3-dev libmicrohttpd-dev libgnutls28-dev libpcre2-dev zlib1g-dev"
RUN_PACKAGES="nginx-core redis-server curl jq openssl procps iproute2 ca-certificates"
TEST_PACKAGES="libcmocka-dev python3 python3-pytest python3-pytest-xdist python3-redis python3-cryptography
    python3-hypothesis python3-h2 python3-requests gcovr clang libclang-rt-dev dpkg-dev iproute2 libfaketime
    libnginx-mod-nchan"
BENCH_PACKAGES="wrk valgrind python3 python3-redis"

# install_packages LIST: installs what is missing. Debian starts a server that it installs; RUNLEVEL=1 asks it not to.
install_packages() {
    missing=
    for p in $1; do
        dpkg-query -W -f='${Status}\n' "$p" 2>/dev/null | grep -q '^install ok installed' || missing="$missing $p"
    done
    [ -n "$missing" ] || return 0
    echo "== installing:$missing"
    if [ "$(id -u)" -eq 0 ]; then sudo=; else sudo="sudo -E"; fi
    # shellcheck disable=SC2086
    {
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update
        $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get -qq install -y --no-install-recommends $missing >/dev/null
    }
}
