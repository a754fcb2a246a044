#!/usr/bin/env bash
# Look for what `make test` cannot find, which tries the same examples every time: many more
# examples of every property, from a seed of which nobody knows what it brings.
#
#     [SEED=N] [TIMES=N] scripts/fuzz.sh [PYTEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
times=${TIMES:-40}
[ $# -gt 0 ] || set -- tests
echo "Seed $seed, $times times as many examples as \`make test\` tries. Again: make fuzz SEED=$seed TIMES=$times"
LEVITOR_TEST_SEED=$seed LEVITOR_TEST_EXAMPLES=$times exec .venv/bin/python -m pytest -q -n 2 \
    --dist worksteal -m hypothesis -o timeout=3600 --hypothesis-profile explore \
    --hypothesis-seed "$seed" --ignore tests/server --ignore tests/addon_bpy "$@"
