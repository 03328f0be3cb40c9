#!/bin/sh
# Installs the packages named in the given lists that are not there yet; says nothing and touches no
# network when all are. Where it cannot install, it prints the exact line to run and stops with 1.
# HEARTH_SKIP_BOOTSTRAP=1 leaves it all to you (on systems without Debian's packages).
#
#     packaging/bootstrap.sh STAMP-FOLDER LIST...
set -eu

stamps=$1
shift

[ "${HEARTH_SKIP_BOOTSTRAP:-}" = 1 ] && exit 0

# A stamp says that these very lists were satisfied before: the second run costs one checksum.
stamp=$stamps/.packages-$(cat "$@" | cksum | tr ' ' '-')
[ -e "$stamp" ] && exit 0

wanted=$(cat "$@" | sed -e 's/#.*//' -e '/^[[:space:]]*$/d' | tr -s ' \t\n' ' ')

if ! command -v dpkg >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    {
        echo "This is not a Debian or Ubuntu system. Install what corresponds to these packages:"
        echo "    $wanted"
        echo "and run make again with HEARTH_SKIP_BOOTSTRAP=1 in the environment."
    } >&2
    exit 1
fi

missing=
for package in $wanted; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
    install="apt-get install -y --no-install-recommends$missing"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif ! command -v sudo >/dev/null 2>&1; then
        as_root=none
    elif sudo -n true 2>/dev/null || [ -t 0 ]; then
        as_root="sudo" # asks for the password when there is someone to ask
    else
        as_root=none
    fi
    if [ "$as_root" = none ]; then
        echo "Some packages are missing. Run this as root, then make again:" >&2
        echo "    apt-get update && $install" >&2
        exit 1
    fi
    echo "Installing:$missing" >&2
    # The lists may be absent or old: fetch them only when the first try fails.
    # Nothing may wait for ever, or for an answer: neither another apt, nor a mirror that is silent, nor a
    # question about a configuration file or a service.
    quick="-o DPkg::Lock::Timeout=300 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 -o Acquire::Retries=2"
    silent="-o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold -o Dpkg::Use-Pty=0"
    apt="$as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q $quick $silent"
    options="install -y --no-install-recommends"
    # shellcheck disable=SC2086
    if ! $apt $options $missing </dev/null >&2 2>/dev/null &&
        ! { $apt update </dev/null >&2 && $apt $options $missing </dev/null >&2; }; then
        echo "The packages could not be installed. Run this, then make again:" >&2
        echo "    ${as_root:+$as_root }apt-get update && ${as_root:+$as_root }$install" >&2
        exit 1
    fi
fi
mkdir -p "$stamps"
: >"$stamp"
