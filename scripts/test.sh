#!/usr/bin/env bash
# Tests that need no GPU, no weights and no display, suite by suite. Goes on after a failure; says
# so at the end.
#
#     scripts/test.sh [SUITE...]    plain, server, blender (5.0), blender45, blender52; default: the
#                                   first three. Each Blender has a process and an environment of
#                                   its own, made on demand.
#
# What follows `plain` runs two suites at a time: they mostly wait for processes that they start.
# The first of two is seen as it runs, the second, which writes into build/, when that has ended.
set -uo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- plain server blender
begin=$SECONDS
failed=()
beside=()
trap '[ ${#beside[@]} = 0 ] || kill "${beside[@]}" 2>/dev/null' EXIT
trap 'exit 130' INT TERM

title() {
    case $1 in
    plain) echo "plain Python: everything but servers and Blender" ;;
    server) echo "real servers and workers" ;;
    blender) echo "the extension in Blender 5.0" ;;
    blender45) echo "the extension in Blender 4.5" ;;
    blender52) echo "the extension in Blender 5.2" ;;
    esac
}

tests_of() {
    case $1 in
    plain)
        .venv/bin/python -m pytest -q -rs -n 2 --dist worksteal --ignore tests/server --ignore tests/addon_bpy
        ;;
    server) .venv/bin/python -m pytest -q tests/server ;;
    blender*) ".venv-$1/bin/python" -m pytest -q -p no:cacheprovider tests/addon_bpy ;;
    esac
}

timed() {
    local start=$SECONDS status=0
    tests_of "$1" || status=$?
    echo "== $1: $((SECONDS - start)) s"
    return $status
}

shown() { # suite: runs it where it can be seen
    echo "== $1: $(title "$1")"
    timed "$1" || failed+=("$1")
}

suites=()
for suite in "$@"; do
    case $suite in
    plain | server) suites+=("$suite") ;;
    blender | blender45 | blender52)
        scripts/environment.sh "$suite"
        case $? in
        0) suites+=("$suite") ;;
        3) echo "== SKIPPED $suite: it runs on Python 3.13, and no python3.13 was found on PATH or in pyenv." ;;
        *) failed+=("environment of $suite") ;;
        esac
        ;;
    *) echo "no suite is called $suite; there are plain, server, blender, blender45 and blender52" >&2; exit 2 ;;
    esac
done

# It keeps two cores busy by itself.
if [ "${suites[0]-}" = plain ]; then
    shown plain
    suites=("${suites[@]:1}")
fi
mkdir -p build
while [ ${#suites[@]} -gt 1 ]; do
    first=${suites[0]} second=${suites[1]}
    suites=("${suites[@]:2}")
    timed "$second" >"build/test-$second.log" 2>&1 &
    beside=($!)
    shown "$first"
    echo "== $second: $(title "$second"); it began together with $first"
    tail -n +1 -f --pid="${beside[0]}" "build/test-$second.log"
    wait "${beside[0]}" || failed+=("$second")
    beside=()
done
for suite in "${suites[@]}"; do shown "$suite"; done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "All tests passed, in $((SECONDS - begin)) s."
