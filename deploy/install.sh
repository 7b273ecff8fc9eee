#!/bin/sh
# Installs what a lock file names into .venv, and this project itself: `sh deploy/install.sh requirements-dev.lock`.
# With uv, which takes a third of the time. Where uv cannot get at the packages, pip does it: only pip reads pip's settings.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python
pip="$python -m pip install --quiet --disable-pip-version-check --no-deps"

# The lock files name every package with its hashes, so nothing is ever resolved (--no-deps).
with_uv() {
    .venv/bin/uv pip install --quiet --python $python --no-deps --link-mode copy --compile-bytecode "$@"
}
[ -x .venv/bin/uv ] || $pip --require-hashes -r requirements-uv.lock
with_uv --require-hashes -r "$1" || $pip --require-hashes -r "$1"
with_uv --no-build-isolation -e . || $pip --no-build-isolation -e .
