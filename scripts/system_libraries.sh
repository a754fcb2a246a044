#!/usr/bin/env bash
# See that this machine has Python 3.11 with venv and the libraries that Blender's module links to.
# What is missing is installed through apt where this runs as root; otherwise one sentence names it.
#
#     scripts/system_libraries.sh            exit 0: all there; 1: something is missing
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/find_python.sh

# Soname that the dynamic linker must know, and the Debian/Ubuntu package that brings it.
libraries="
libxkbcommon.so.0 libxkbcommon0
libSM.so.6        libsm6
libXi.so.6        libxi6
libXxf86vm.so.1   libxxf86vm1
libXfixes.so.3    libxfixes3
libXrender.so.1   libxrender1
libGL.so.1        libgl1
libEGL.so.1       libegl1
libgomp.so.1      libgomp1
"

missing_packages() {
    local known soname package python
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null || true)
    while read -r soname package; do
        [ -z "$soname" ] || grep -q -F "$soname " <<<"$known" || printf '%s ' "$package"
    done <<<"$libraries"
    if ! python=$(find_python 3.11); then
        printf 'python3.11 python3.11-venv '
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        printf 'python3.11-venv '
    fi
}

packages=$(missing_packages)
[ -n "$packages" ] || exit 0
packages=${packages% }
if [ "$(uname -s)" != Linux ] || ! command -v apt-get >/dev/null; then
    echo "This machine lacks what Debian calls $packages: install them with its own package manager, then try again." >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "This machine lacks $packages: run \`sudo apt-get install -y $packages\`, then try again." >&2
    exit 1
fi

echo "Installing through apt: $packages"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    case $packages in
    *python3.11*) echo "apt has no Python 3.11 for this release: install it another way (pyenv, uv, a backport) so that \`python3.11\` runs, then try again." >&2 ;;
    *) echo "apt could not install $packages: mend the reason above, then try again." >&2 ;;
    esac
    exit 1
fi
still=$(missing_packages)
[ -z "$still" ] || { echo "Still missing after apt: ${still% }." >&2; exit 1; }
