#!/bin/sh
# Measures this machine: bench/run.sh BUILD-FOLDER. First the kernels by themselves, as shares of the memory
# bandwidth and the arithmetic peak found in the same run, then whole models: the one that comes with
# Hearth, and SmolLM2 where it can be fetched. bench/compare.py sets Hearth beside a peer.
set -eu

build=$1
here=$(cd "$(dirname "$0")" && pwd)
for program in "$build"/bench/bench_*; do
    [ -x "$program" ] && [ -f "$program" ] || continue
    echo "== $(basename "$program")"
    "$program"
done
bard=$here/../models/bard/bard-q8_0.gguf
smollm2=$("$here/../packaging/fetch-test-model.sh") || smollm2=
for model in "$bard" "$smollm2"; do
    [ -f "$model" ] || continue
    echo "== hearth bench $(basename "$model")"
    "$build/hearth" bench --limits "$model" </dev/null
done
