#!/usr/bin/env bash
# Tests that need no GPU, no weights and no display, suite by suite. Goes on after a failure; says
# so at the end.
#
#     scripts/test.sh [SUITE...]    plain, server, blender (5.0), blender45, blender52; default: the
#                                   first three. Each Blender has a process and an environment of
#                                   its own, made on demand.
#     SHUFFLE=SEED scripts/test.sh  the tests in another order, the same for a seed
#
# Two suites run at a time, since those of servers and Blender leave a core free: the first Blender
# beside plain and server, the other two beside each other. One of two is seen as it runs, the
# other, which writes into build/, when that has ended.
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
    local order=${SHUFFLE:+--shuffle=$SHUFFLE}
    case $1 in
    plain)
        $behind .venv/bin/python -m pytest -q -rs -n 2 --dist worksteal --ignore tests/server --ignore tests/addon_bpy $order
        ;;
    server) $behind .venv/bin/python -m pytest -q -n 2 --dist loadfile tests/server $order ;;
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
    beside=($!)
}

end_beside() { # suite: shows what it has written, and what it still writes
    echo "== $1: $(title "$1"); it began earlier"
    tail -n +1 -f --pid="${beside[0]}" "build/test-$1.log"
    wait "${beside[0]}" || failed+=("$1")
    beside=()
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
# The first Blender is one process and as long as the others together, so it begins with them, and
# goes before them.
behind=
if [ "${suites[*]:0:2}" = "plain server" ] && [ ${#suites[@]} -gt 2 ]; then
    begin_beside "${suites[2]}"
    behind="nice -n 5"
    shown server
    shown plain
    end_beside "${suites[2]}"
    behind=
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
