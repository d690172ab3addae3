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
obj=$build/nginx-$kind-src
log=$build/nginx-$kind.log
: "${CC:=cc}" "${SANITIZER:=}" "${COVERAGE:=}"

die() { echo "ngx_jd_module/build.sh: $*" >&2; exit 1; }
run() { "$@" >>"$log" 2>&1 || { tail -n 40 "$log" >&2; die "failed: $* (whole log: $log)"; }; }

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

case $kind in
dynamic) add=--add-dynamic-module=$top ;;
static)  add=--add-module=$top ;;
*)       die "unknown kind '$kind': dynamic or static" ;;
esac

if [ -z "$src" ]; then
    [ "$kind" = dynamic ] || die "a static build needs NGINX_SRC=/path/to/nginx source"
    [ -z "$SANITIZER" ] || die "a sanitised module needs an nginx built alike: give NGINX_SRC=/path/to/nginx source"
    src=/usr/share/nginx/src
    [ -f "$src/configure" ] || die "nginx's headers are missing: install nginx-dev, or give NGINX_SRC=/path/to/nginx source"
    # conf_flags is a bash array of Debian's own options, which the binary interface depends on
    flags=$(sed -n 's/^NGX_CONF_FLAGS=( *\(.*\) *)$/\1/p' "$src/conf_flags")
    target=objs/ngx_jd_module.so
else
    flags="--prefix=$build/prefix --with-compat --with-debug --with-pcre-jit --with-threads
        --with-http_ssl_module --with-http_v2_module --with-http_realip_module
        --with-http_auth_request_module --with-http_stub_status_module --with-stream"
    target=
fi
if [ -f "$src/auto/configure" ]; then configure=auto/configure; else configure=./configure; fi
[ -f "$src/$configure" ] || die "$src is not an nginx source tree (no configure)"

# configure writes into its tree, so it works on a copy; both are done again only when one of these changed
stamp=$(echo "$src $flags $CC $cc_opt $ld_opt"; cat "$top/config"
        ls "$top"/ngx_jd_module/*.[ch] "$top"/restrict-cache/core/*.[ch])
: >"$log"
if [ ! -f "$obj/stamp" ] || [ "$stamp" != "$(cat "$obj/stamp")" ]; then
    rm -rf "$obj"
    mkdir -p "$obj"
    cp -R "$src/." "$obj/"
    cd "$obj"
    # shellcheck disable=SC2086
    run $configure $flags --builddir=objs --with-cc="$CC" --with-cc-opt="$cc_opt" --with-ld-opt="$ld_opt" "$add"
    echo "$stamp" >stamp
fi

cd "$obj"
if [ -n "$COVERAGE" ] && [ "$kind" = dynamic ]; then
    # only the module's lines are counted; nginx's own are compiled as fast as can be
    core=$(sed -n 's/^CFLAGS = *//p' objs/Makefile | sed 's/--coverage -fprofile-update=atomic//; s/-O1/-O0/')
    run make -j"$(nproc)" -f objs/Makefile binary CFLAGS="$core"
fi
# shellcheck disable=SC2086
run make -j"$(nproc)" -f objs/Makefile $target
case $kind in
dynamic)
    cp objs/ngx_jd_module.so "$build/"
    [ -n "$target" ] || cp objs/nginx "$build/nginx"
    ;;
static)
    cp objs/nginx "$build/nginx-static"
    ;;
esac
