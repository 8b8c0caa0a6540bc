#!/usr/bin/env bash
# Makes a playbook of the Python and of the JavaScript template, as an author would, builds it, and runs its cases.
#
#   plugins/template/check.sh /path/to/suture
#
# Needs python3 with venv and pip, node 20 with npm, and their registries; what is missing is installed with apt-get
# where that is possible, and named where it is not. Everything happens in a temporary folder.
#   CI_SKIP_INSTALL=1  never installs anything into the system
#
# Exit codes: 0 both hold, 1 one does not, 3 the tools cannot be had on this machine.
set -euo pipefail
exec </dev/null

say() { printf '\n--- %s\n' "$*"; }
stop() { printf '\nplugins/template/check.sh: %s\n' "$*" >&2; exit 1; }
# Nothing is wrong with the templates: this machine cannot have the tools.
absent() { printf '\nplugins/template/check.sh: %s\n' "$*" >&2; exit 3; }

suture=${1:-}
[ -n "$suture" ] || stop "say which suture to use: plugins/template/check.sh target/debug/suture"
[ -x "$suture" ] || stop "$suture is not there or cannot be run: build it first (cargo build)"
suture=$(cd "$(dirname "$suture")" && pwd)/$(basename "$suture")

# --- What the machine must have -------------------------------------------------------------------------------------

# Asks for what is used, not for a program's name: a Python without ensurepip makes no environments.
has_python() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }
has_node() { node -e 'process.exit(process.versions.node.split(".")[0] >= 20 ? 0 : 1)' >/dev/null 2>&1; }
has_npm() { npm --version >/dev/null 2>&1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

packages=()
has_python || packages+=(python3 python3-venv python3-pip)
has_node || packages+=(nodejs)
has_npm || packages+=(npm)
if [ ${#packages[@]} -gt 0 ] && [ -z "${CI_SKIP_INSTALL:-}" ] && command -v apt-get >/dev/null; then
    say "apt-get install ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends "${packages[@]}" \
        || printf 'apt-get could not install them\n' >&2
fi
missing=()
has_python || missing+=("python3 (3.10 or newer) with venv and pip")
has_node || missing+=("node (20 or newer)")
has_npm || missing+=("npm")
[ ${#missing[@]} -eq 0 ] || absent "missing: $(printf '%s; ' "${missing[@]}")install it with this system's package manager"

# --- The two playbooks ----------------------------------------------------------------------------------------------

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# made LANG NAME: the folder of a new playbook.
made() {
    say "suture playbook new $2 --lang $1"
    "$suture" playbook new "$2" --lang "$1" || stop "no playbook could be made of the $1 template"
    [ -d "$2" ] || stop "suture playbook new $2 made no folder $2"
}

# proved NAME: builds what is in the folder and runs its cases. With a data folder, so that what takes long, the compiling of
# an interpreter, is done once.
proved() {
    (
        cd "$1"
        "$suture" --data-dir "$work/data" playbook build || stop "$1 does not build"
        [ -s "$1.wasm" ] || stop "suture playbook build made no $1.wasm"
        # The file, not the folder: the folder would be built once more.
        "$suture" --data-dir "$work/data" playbook test "$1.wasm" --cases cases || stop "a case of $1 fails"
    )
}

began=$SECONDS
made python check-python
say "pip install -r requirements.txt"
(
    cd check-python
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
) || absent "pip cannot install componentize-py (is the Python package index reachable?)"
PATH="$work/check-python/.venv/bin:$PATH" proved check-python
python_took=$((SECONDS - began))

began=$SECONDS
made js check-js
say "npm install"
(cd check-js && npm install --no-audit --no-fund --no-progress --loglevel=error) \
    || absent "npm cannot install componentize-js (is the npm registry reachable?)"
proved check-js
js_took=$((SECONDS - began))

printf '\nplugins/template/check.sh: the templates build and their cases hold: Python in %d s, JavaScript in %d s\n' \
    "$python_took" "$js_took"
