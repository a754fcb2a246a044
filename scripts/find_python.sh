# Sourced: find_python 3.11 prints a Python of that version that starts, or fails. A pyenv shim may
# be on PATH for a version that is installed but not selected, hence the look into pyenv's folders.
find_python() {
    local version=$1 candidate
    for candidate in "$(command -v "python$version")" \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python"$version"; do
        if [ -n "$candidate" ] && [ -x "$candidate" ] &&
            "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}
