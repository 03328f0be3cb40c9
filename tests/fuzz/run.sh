#!/bin/sh
# Fuzzes every target of a build made with HEARTH_FUZZ: tests/fuzz/run.sh BUILD-FOLDER SECONDS. What the
# fuzzer finds on the way is kept in the build folder; only crashes are left behind, and named.
set -eu

build=$1
seconds=$2
here=$(dirname "$0")
failed=0 n=0
for target in "$build"/tests/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    parser=$(basename "$target" | sed 's/^fuzz_//')
    found=$build/found/$parser
    mkdir -p "$found"
    printf 'fuzz %-16s %s s: ' "$parser" "$seconds"
    n=$((n + 1))
    if "$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
        -artifact_prefix="$found/" "$found" "$here/corpus/$parser" >"$found.log" 2>&1 </dev/null; then
        awk '/stat::number_of_executed_units/ { printf "%s runs, ", $2 }
             / cov: / { cov = $0; sub(/.* cov: /, "", cov); sub(/ .*/, "", cov) }
             END { print "coverage " cov ", no crash" }' "$found.log"
    else
        failed=$((failed + 1))
        echo "FAILED, see $found.log"
        tail -n 25 "$found.log"
    fi
done
echo "$n targets fuzzed, $failed failed"
[ "$n" -gt 0 ] && [ "$failed" = 0 ]
