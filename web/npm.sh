#!/bin/sh
# npm for the chat page: `sh web/npm.sh ci`. With this machine's Node.js or, where that is missing or too old, with one
# of its own, which comes as a Python wheel.
set -eu
cd "$(dirname "$0")"

new_enough='const [a, b] = process.versions.node.split("."); process.exit(a > 22 || (a == 22 && b >= 12) || (a == 20 && b >= 19) ? 0 : 1)'
own=$(pwd)/../.venv/node

if ! { command -v npm && node -e "$new_enough"; } >/dev/null 2>&1; then
    if [ ! -x "$own/bin/npm" ]; then
        echo "Installing Node.js for the chat page (60 MB, once) ..." >&2
        ../.venv/bin/python -m venv "$own"
        "$own/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
            -r ../requirements-node.lock
    fi
    PATH=$own/bin:$PATH
    export PATH
fi
exec npm "$@"
