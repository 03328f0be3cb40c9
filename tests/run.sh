#!/bin/sh
# Runs the built tests: tests/run.sh BUILD-FOLDER [arguments of ctest]. What was skipped, and why, is
# said before ctest's closing lines, which come last. The exit status is ctest's.
set -eu

build=$1
shift
export HEARTH_TEST_SIZE="${HEARTH_TEST_SIZE:-normal}"
# Only to catch a hang: far above what a test takes, and no measurement.
timeout=900
[ "$HEARTH_TEST_SIZE" = normal ] || timeout=10800

log=$build/Testing/Temporary/LastTest.log
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
rm -f "$log"

# From "100% tests passed" on, the lines are held back until ctest has ended and its log is whole.
{
    ctest --test-dir "$build" --output-on-failure --no-tests=error --timeout $timeout \
        -j "$(nproc)" "$@" </dev/null 2>&1 || echo $? >"$scratch/status"
} | {
    : >"$scratch/closing"
    while IFS= read -r line; do
        case $line in *"% tests passed, "*) exec >>"$scratch/closing" ;; esac
        printf '%s\n' "$line"
    done
}
if [ -e "$log" ]; then
    awk '/^[ \t]*(skipped: |SKIPPED \[)/ && !seen[$0]++ { sub(/^[ \t]*/, ""); print "    " $0 }' \
        "$log" >"$scratch/skipped"
    if [ -s "$scratch/skipped" ]; then
        printf '\nSkipped parts of tests (%d):\n' "$(wc -l <"$scratch/skipped")"
        cat "$scratch/skipped"
        echo
    fi
fi
cat "$scratch/closing"
[ ! -s "$scratch/status" ] || exit "$(cat "$scratch/status")"
