#!/usr/bin/env bash
# The window test: a real Blender 5.2 (Debian sid's) under Xvfb, clicked with a real mouse.
# It needs root, Linux, and the shared tools beside the checkout (or LEVITOR_SHARED_TOOLS).
#
# Exit 0: passed. 77: not run, because no Blender window can be had here. Anything else: failed.
set -uo pipefail
cd "$(dirname "$0")/.."

not_run() {
    printf '\n*** WINDOW TEST NOT RUN: %s ***\n\n' "$*" >&2
    exit 77
}

tools=${LEVITOR_SHARED_TOOLS:-$PWD/../shared/tools}
[ -f "$tools/blender_window.sh" ] || not_run "there is no blender_window.sh in $tools; set LEVITOR_SHARED_TOOLS"
tools=$(cd "$tools" && pwd)
root=${XDG_CACHE_HOME:-$HOME/.cache}/levitor/blender-window/sid

# The smallest Debian images lack it, and the root is entered through it.
command -v mount >/dev/null || { apt-get update -qq && apt-get install -y -qq mount; } >/dev/null 2>&1

echo "Making sure of a Blender with a window in $root (350 MB, 2-4 minutes the first time)."
mkdir -p build
timeout 900 bash "$tools/blender_window.sh" sid "$root" >build/window-root.log 2>&1 || {
    tail -n 15 build/window-root.log >&2
    not_run "Debian sid's Blender could not be made or does not start (all of it: build/window-root.log)"
}

LEVITOR_SHARED_TOOLS=$tools LEVITOR_WINDOW=$root.enter \
    .venv/bin/python -m pytest -q -m window tests/addon_window
status=$?
[ $status = 0 ] && echo "Screenshots are in build/window/."
[ $status != 77 ] || status=1
exit $status
