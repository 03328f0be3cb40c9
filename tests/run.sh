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
status=$(mktemp)
trap 'rm -f "$status"' EXIT
rm -f "$log"

# From "100% tests passed" on, the lines are held back until ctest has ended and its log is whole.
{
    ctest --test-dir "$build" --output-on-failure --no-tests=error --timeout $timeout -j "$(nproc)" "$@" </dev/null 2>&1 ||
        echo $? >"$status"
} | awk -v log_file="$log" '
    held { text = text $0 "\n"; next }
    /^[0-9]+% tests passed/ { held = 1; text = $0 "\n"; next }
    { print; fflush() }
    END {
        while ((getline line < log_file) > 0)
            if (line ~ /^[ \t]*(skipped: |SKIPPED \[)/ && !seen[line]++) {
                sub(/^[ \t]*/, "", line)
                reasons = reasons "    " line "\n"
                n++
            }
        if (n) printf "\nSkipped parts of tests (%d):\n%s\n", n, reasons
        printf "%s", text
    }'
[ ! -s "$status" ] || exit "$(cat "$status")"
