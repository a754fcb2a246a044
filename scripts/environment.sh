#!/usr/bin/env bash
# Make one of the Python environments, or do nothing where it is up to date.
#
#     scripts/environment.sh backend      .venv             torch, the levitor command, tests, checkers
#     scripts/environment.sh blender      .venv-blender     Blender 5.0 as a Python module
#     scripts/environment.sh blender45    .venv-blender45   Blender 4.5 LTS
#     scripts/environment.sh blender52    .venv-blender52   Blender 5.2 LTS; exit 3 without Python 3.13
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/find_python.sh

name=${1:?which environment: backend, blender, blender45 or blender52}
case $name in
backend) folder=.venv python=3.11 about="torch and the rest of the backend, about 400 MB to download" ;;
blender) folder=.venv-blender python=3.11 bpy=5.0.1 ;;
blender45) folder=.venv-blender45 python=3.11 bpy=4.5.15 ;;
blender52) folder=.venv-blender52 python=3.13 bpy=5.2.3 ;;
*) echo "no environment is called $name" >&2; exit 2 ;;
esac
about=${about:-Blender ${bpy:-} as a Python module, about 380 MB to download}

# The stamp holds a hash of all that decides what is inside, so the second time costs milliseconds.
if [ "$name" = backend ]; then inputs="constraints.txt pyproject.toml"; else inputs=constraints-blender.txt; fi
wanted=$({ cat $inputs "$0"; echo "$PWD"; } | sha256sum | cut -d' ' -f1)
stamp=$folder/made-from
if [ -x "$folder/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then exit 0; fi

scripts/system_libraries.sh
interpreter=$(find_python "$python") || exit 3

mkdir -p build
exec 9>"build/$folder.lock"
flock 9 # two makes at once: the second waits, then finds the stamp
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
echo "Making $folder: $about; 1-4 minutes the first time."
start=$SECONDS
rm -f "$stamp"
"$interpreter" -m venv "$folder" || {
    echo "$interpreter cannot make an environment: install its venv module (apt: python$python-venv), then try again." >&2
    exit 1
}
# pip shows what it downloads, package by package, since this takes minutes the first time.
pip() { "$folder/bin/python" -m pip --disable-pip-version-check "$@"; }
if [ "$name" = backend ]; then
    # setuptools first, and no isolated build: pinned like everything else, and one download fewer.
    pip install -qq -c constraints.txt setuptools
    pip install -c constraints.txt --no-build-isolation -e '.[dev]'
else
    pip install -c constraints-blender.txt "bpy==$bpy" pytest pytest-timeout
fi
echo "$wanted" >"$stamp"
echo "Made $folder in $((SECONDS - start)) s."
[ "$name" != backend ] || echo "\`source .venv/bin/activate\` puts \`levitor\` on a terminal's PATH."
