#!/bin/sh
# Makes or refreshes .venv with renecinfra and one of its extras: `sh tools/venv.sh services|dev|docs`.
# Does nothing, quickly, when pyproject.toml and the chosen Python are those of the last time.
# PYTHON=… chooses the interpreter. As root it installs the Debian packages that making it takes.
set -eu

extra=${1:?usage: venv.sh services|dev|docs}
case $extra in
    services) extras=services ;;
    dev) extras=services,dev ;;
    docs) extras=docs ;;
    *) echo "venv.sh: no such extra: $extra" >&2; exit 64 ;;
esac
cd "$(dirname "$0")/.."

# Another environment that happens to be active, or a PYTHONPATH, must not reach into this one.
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH
# The user that services run as must be able to read what is installed here.
umask 022

stamp=.venv/.renecinfra-$extra
wanted="$(cksum < pyproject.toml) ${PYTHON:-}"
if [ -x .venv/bin/python ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

new_enough() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

has_venv() {
    "$1" -I -c 'import ensurepip, venv' 2>/dev/null
}

# Installs Debian packages, or says how and gives up.
need_packages() {
    if [ "$(id -u)" -ne 0 ]; then
        echo "error[packages-missing]: $* must be installed first" >&2
        echo "hint: run \`sudo apt-get install -y --no-install-recommends $*\`, then repeat" >&2
        exit 4
    fi
    echo "Installing $*" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null 2>&1 && return
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# The system's Python comes first: one in a home directory is closed to the user that services run as.
choose_python() {
    for candidate in /usr/bin/python3 /usr/local/bin/python3 python3.13 python3.12 python3.11 python3; do
        if new_enough "$candidate" && has_venv "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

if [ -n "${PYTHON:-}" ]; then
    python=$PYTHON
    if ! new_enough "$python" || ! has_venv "$python"; then
        echo "error[python-unsuitable]: PYTHON=$python is not Python 3.11 or later with venv" >&2
        echo "hint: name another interpreter, or none" >&2
        exit 4
    fi
else
    python=$(choose_python)
    if [ -z "$python" ]; then
        need_packages python3 python3-venv
        python=$(choose_python)
    fi
    if [ -z "$python" ]; then
        echo "error[python-missing]: there is no Python 3.11 or later with venv" >&2
        echo "hint: use Debian 12 or later, or name one with PYTHON=/path/to/python3" >&2
        exit 4
    fi
fi

# A different interpreter than last time, or a broken one, makes all of it anew.
home=$("$python" -I -c 'import os, sys; print(os.path.realpath(sys.base_prefix), sys.version_info[:2])')
made=.venv/.renecinfra-python
if ! .venv/bin/python -I -c '' 2>/dev/null || { [ -f "$made" ] && [ "$(cat "$made")" != "$home" ]; }; then
    echo "Making .venv with $python" >&2
    "$python" -I -m venv --clear .venv
fi
echo "$home" > "$made"
echo "Installing renecinfra[$extras] into .venv" >&2
.venv/bin/python -I -m pip --no-input --disable-pip-version-check install --quiet --use-pep517 -e ".[$extras]"
echo "$wanted" > "$stamp"
# dev holds all that services does.
[ "$extra" != dev ] || echo "$wanted" > .venv/.renecinfra-services
