#!/bin/sh
# Installs the servers that the tests start privately. Idempotent; no service is started or enabled.
set -eu

if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "PostgreSQL is missing. Install your system's package of its server, with initdb and pg_ctl." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=env
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo env"
else
    echo "PostgreSQL is missing. As root, run: sh tests/services/install.sh" >&2
    exit 1
fi

install() {
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

echo "Installing PostgreSQL for the tests ..."
$as_root apt-get update -q  # an old list names versions that are gone
install postgresql-common
# The tests make their own clusters; the one that Debian makes on the standard port is not wanted.
$as_root sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
install postgresql
