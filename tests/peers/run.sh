#!/bin/sh
# Compares Hearth with llama.cpp on the same files: tests/peers/run.sh HEARTH CACHE [pytest arguments]
# Installs the peer's prebuilt library (npm, pinned by package-lock.json) into CACHE/peers, never into the
# tree. Not part of `make test`: it needs a peer, and its figures belong into docs/results.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
hearth=$1
cache=$2
shift 2
command -v npm > /dev/null || {
    echo "peers: npm is needed to install llama.cpp's library: sudo apt-get install npm" >&2
    exit 1
}
mkdir -p "$cache/peers"
cp "$here/package.json" "$here/package-lock.json" "$cache/peers/"
if [ ! -d "$cache/peers/node_modules/@node-llama-cpp/linux-x64" ]; then
    (cd "$cache/peers" && npm ci --no-audit --no-fund --ignore-scripts >&2)
fi
smollm2=$("$here/../../packaging/fetch-test-model.sh") || smollm2=
shared=${HEARTH_SHARED:-$here/../../../shared}
HEARTH_PEERS="$cache/peers" HEARTH_BIN="$hearth" HEARTH_SMOLLM2="$smollm2" HEARTH_SHARED="$shared" \
    python3 -m pytest -q -rs -s -p no:cacheprovider "$here" "$@"
