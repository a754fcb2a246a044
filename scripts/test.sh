#!/usr/bin/env bash
# Tests that need no GPU, no weights and no display, suite by suite. Goes on after a failure; says
# so at the end.
#
#     scripts/test.sh [SUITE...]    plain, server, blender (5.0), blender45, blender52; default: the
#                                   first three. Each Blender has a process and an environment of
#                                   its own, made on demand.
#     SHUFFLE=SEED scripts/test.sh  the tests in another order, the same for a seed
#
# What one leaves of the processors the others take: plain, server and the first Blender run at the
# same time, the other two Blenders beside each other. The first of them is seen as it runs, the
# others, which write into build/, when that has ended.
set -uo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- plain server blender
begin=$SECONDS
failed=()
declare -A beside=() # process ids
declare -A behind=() # what lets another suite go first
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

# A worker for each of two cores, so one thread of OpenMP and OpenBLAS for each: more of them wait
# for one another. Blender's backend has as many as an artist's.
tests_of() {
    local order=${SHUFFLE:+--shuffle=$SHUFFLE}
    case $1 in
    plain)
        OMP_NUM_THREADS=1 ${behind[$1]:-} .venv/bin/python -m pytest -q -rs -n 2 --dist worksteal --ignore tests/server --ignore tests/addon_bpy $order
        ;;
    server) OMP_NUM_THREADS=1 ${behind[$1]:-} .venv/bin/python -m pytest -q -n 2 --dist loadfile tests/server $order ;;
    blender*) ".venv-$1/bin/python" -m pytest -q -p no:cacheprovider tests/addon_bpy $order ;;
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

begin_beside() { # suite: runs it where it cannot be seen yet
    timed "$1" >"build/test-$1.log" 2>&1 &
    beside[$1]=$!
}

end_beside() { # suite: shows what it has written, and what it still writes
    echo "== $1: $(title "$1"); it began earlier"
    tail -n +1 -f --pid="${beside[$1]}" "build/test-$1.log"
    wait "${beside[$1]}" || failed+=("$1")
    unset "beside[$1]"
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

mkdir -p build
# Blender and server wait for what they started, mostly one process each, so they go first; plain has
# two workers to the end.
if [ "${suites[*]:0:2}" = "plain server" ] && [ ${#suites[@]} -gt 2 ]; then
    behind=([server]="nice -n 5" [plain]="nice -n 10")
    begin_beside "${suites[2]}"
    begin_beside server
    shown plain
    end_beside server
    end_beside "${suites[2]}"
    behind=()
    suites=("${suites[@]:3}")
fi
while [ ${#suites[@]} -gt 1 ]; do
    first=${suites[0]} second=${suites[1]}
    suites=("${suites[@]:2}")
    begin_beside "$second"
    shown "$first"
    end_beside "$second"
done
for suite in "${suites[@]}"; do shown "$suite"; done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "All tests passed, in $((SECONDS - begin)) s."
