#!/bin/sh
# Configures a build folder when that was not done with these arguments, and builds it:
# packaging/build.sh BUILD-FOLDER [arguments of cmake]. All is said on stderr, since stdout belongs to what
# runs afterwards; nothing is said when there is nothing to do.
set -eu

build=$1
shift

mkdir -p "$build"
if [ ! -e "$build/build.ninja" ] || [ "$(cat "$build/.configured" 2>/dev/null)" != "$*" ]; then
    echo "Configuring $build" >&2
    rm -f "$build/CMakeCache.txt"
    cmake -S . -B "$build" -G Ninja "$@" >"$build/configure.log" 2>&1 || {
        cat "$build/configure.log" >&2
        exit 1
    }
    echo "$*" >"$build/.configured"
fi

# Someone who looks on sees the first build proceed; later ones are short.
if [ -t 2 ] && [ ! -e "$build/libhearth.a" ]; then
    exec ninja -C "$build" >&2
fi
rm -f "$build/.failed"
{ ninja -C "$build" --quiet 2>&1 || : >"$build/.failed"; } |
    sed -e '/^ninja: no work to do/d' -e '/^-- /d' >&2
[ ! -e "$build/.failed" ]
