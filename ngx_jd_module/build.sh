#!/bin/sh
# Builds the nginx module: build.sh dynamic|static BUILD [NGINX_SRC]
# Called by make, which gives CC, SANITIZER and COVERAGE in the environment.
#
# dynamic, no NGINX_SRC   BUILD/ngx_jd_module.so for Debian's nginx, by its nginx-dev
# dynamic, NGINX_SRC      BUILD/nginx and BUILD/ngx_jd_module.so, of one configuration
# static,  NGINX_SRC      BUILD/nginx-static with the module linked in
set -eu

kind=$1 build=$2 src=${3:-}
top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build"
build=$(cd "$build" && pwd)
obj=$build/nginx-$kind
: "${CC:=cc}" "${SANITIZER:=}" "${COVERAGE:=}"

die() { echo "ngx_jd_module/build.sh: $*" >&2; exit 1; }

cc_opt="-O2 -g" ld_opt=""
if [ -n "$SANITIZER" ]; then
    # Undefined behaviour is printed, not fatal: nginx's own sources have some. Tests fail on a line that
    # names one of our files. NGX_DEBUG_PALLOC gives each pool allocation its own red zone.
    cc_opt="-O1 -g -fno-omit-frame-pointer -fsanitize=$SANITIZER -DNGX_DEBUG_PALLOC=1"
    ld_opt="-fsanitize=$SANITIZER"
fi
if [ -n "$COVERAGE" ]; then
    cc_opt="$cc_opt --coverage -fprofile-update=atomic"
    ld_opt="$ld_opt --coverage"
fi

# The tree is copied: configure writes into it, and two builds must not meet.
copy() {
    rm -rf "$obj"
    mkdir -p "$obj"
    cp -R "$1/." "$obj/"
}

log=$build/nginx-$kind.log
run() { "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $* (whole log: $log)"; }; }
: >"$log"

if [ -z "$src" ]; then
    [ "$kind" = dynamic ] || die "a static build needs NGINX_SRC=/path/to/nginx source"
    [ -z "$SANITIZER" ] || die "a sanitised module needs an nginx built alike: give NGINX_SRC=/path/to/nginx source"
    dev=/usr/share/nginx/src
    [ -f "$dev/configure" ] || die "nginx's headers are missing: install nginx-dev, or give NGINX_SRC=/path/to/nginx source"
    copy "$dev"
    # conf_flags is a bash array of Debian's own options; only those that shape the binary interface matter
    NGX_CONF_FLAGS=$(sed -n 's/^NGX_CONF_FLAGS=( *\(.*\) *)$/\1/p' "$dev/conf_flags")
    cd "$obj"
    # shellcheck disable=SC2086
    run ./configure $NGX_CONF_FLAGS --builddir=objs --with-cc="$CC" --with-cc-opt="$cc_opt" \
        --with-ld-opt="$ld_opt" --add-dynamic-module="$top"
    run make -f objs/Makefile objs/ngx_jd_module.so
    cp objs/ngx_jd_module.so "$build/ngx_jd_module.so"
    exit 0
fi

if [ -f "$src/auto/configure" ]; then configure=auto/configure; else configure=./configure; fi
[ -f "$src/$configure" ] || die "$src is not an nginx source tree (no configure)"
copy "$src"
cd "$obj"
flags="--prefix=$build/prefix --with-compat --with-debug --with-pcre-jit --with-threads
    --with-http_ssl_module --with-http_v2_module --with-http_realip_module
    --with-http_auth_request_module --with-http_stub_status_module --with-stream"
case $kind in
dynamic) add=--add-dynamic-module=$top ;;
static)  add=--add-module=$top ;;
*)       die "unknown kind '$kind': dynamic or static" ;;
esac
# shellcheck disable=SC2086
run $configure $flags --builddir=objs --with-cc="$CC" --with-cc-opt="$cc_opt" \
    --with-ld-opt="$ld_opt" "$add"
run make -j"$(nproc)" -f objs/Makefile
case $kind in
dynamic) cp objs/nginx "$build/nginx"; cp objs/ngx_jd_module.so "$build/ngx_jd_module.so" ;;
static)  cp objs/nginx "$build/nginx-static" ;;
esac
