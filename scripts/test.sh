#!/usr/bin/env bash
# Every test that needs no GPU, no weights and no display: plain Python first, then the extension in
# each Blender, in a process and an environment of its own. Goes on after a failure; says so at the end.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=()
step() {
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    "$@" || failed+=("$name")
    echo "== $name: $((SECONDS - start)) s"
}

# Real servers with workers of their own need the machine to themselves, so they are not run beside others.
step "plain Python" .venv/bin/python -m pytest -q -rs -n 2 --dist loadfile --ignore tests/server --ignore tests/addon_bpy
[ ! -d tests/server ] || step "server" .venv/bin/python -m pytest -q tests/server

for name in blender blender45 blender52; do
    scripts/environment.sh "$name"
    case $? in
    0) step "Blender in .venv-${name}" ".venv-$name/bin/python" -m pytest -q -p no:cacheprovider tests/addon_bpy ;;
    3) echo "== SKIPPED: Blender 5.2 runs on Python 3.13, and no python3.13 was found on PATH or in pyenv." ;;
    *) failed+=("environment $name") ;;
    esac
done

if [ ${#failed[@]} -gt 0 ]; then
    printf 'FAILED: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "All tests passed."
