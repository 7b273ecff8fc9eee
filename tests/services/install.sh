#!/bin/sh
# Installs the servers that the tests start privately. Idempotent; no service is started or enabled.
set -eu

missing=
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null 2>&1; then
    missing="PostgreSQL"
fi
if ! ls /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server >/dev/null 2>&1; then
    missing="${missing:+$missing and }RabbitMQ"
fi
# The script of an administrator, which a test carries out, uses these.
for tool in curl jq; do
    command -v $tool >/dev/null 2>&1 || missing="${missing:+$missing and }$tool"
done
# The chat page is tested in a real browser.
if ! command -v chromium >/dev/null 2>&1; then
    missing="${missing:+$missing and }Chromium"
fi
# What is in deploy/ is tried with the programs that it is written for. Debian keeps nginx where only root's PATH leads.
PATH=$PATH:/usr/sbin
command -v nginx >/dev/null 2>&1 || missing="${missing:+$missing and }nginx"
command -v systemd-analyze >/dev/null 2>&1 || missing="${missing:+$missing and }systemd"
command -v promtool >/dev/null 2>&1 || missing="${missing:+$missing and }Prometheus"
if [ -z "$missing" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "Missing: $missing. Install your system's packages of these (PostgreSQL's with initdb and pg_ctl)." >&2
    exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
    as_root=env
elif command -v sudo >/dev/null 2>&1; then
    as_root="sudo env"
else
    echo "Missing: $missing. As root, run: sh tests/services/install.sh" >&2
    exit 1
fi

policy=/usr/sbin/policy-rc.d

# Debian starts a server as soon as it is installed, unless this policy says 101: forbidden.
forbid_starts() {
    answer=0
    if [ -e $policy ]; then
        $policy rabbitmq-server start >/dev/null 2>&1 || answer=$?
    fi
    if [ "$answer" -eq 101 ]; then
        return  # the usual state of a container image
    fi
    trap restore_policy EXIT
    trap 'exit 1' HUP INT TERM  # a shell that a signal ends does not run the line above
    if [ -e $policy ]; then
        $as_root mv $policy $policy.before-llmgate
    fi
    printf '#!/bin/sh\nexit 101\n' | $as_root tee $policy >/dev/null
    $as_root chmod 755 $policy
}

restore_policy() {
    $as_root rm -f $policy
    if [ -e $policy.before-llmgate ]; then
        $as_root mv $policy.before-llmgate $policy
    fi
}

install() {
    $as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
}

install_postgresql() {
    install postgresql-common
    # The tests make their own clusters; the one that Debian makes on the standard port is not wanted.
    $as_root sed -i 's/^#\{0,1\} *create_main_cluster *=.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    install postgresql
}

install_rabbitmq() {
    forbid_starts
    install rabbitmq-server
    # Neither at the next boot: the package enables its broker, and Erlang may enable its port mapper.
    $as_root update-rc.d rabbitmq-server disable
    if command -v systemctl >/dev/null 2>&1; then
        $as_root systemctl disable rabbitmq-server.service epmd.service epmd.socket >/dev/null 2>&1 || true
    fi
}

install_nginx() {
    forbid_starts
    install nginx-light
    disable nginx
}

install_prometheus() {
    forbid_starts
    install prometheus  # promtool comes with it
    disable prometheus
}

# Not at the next boot either.
disable() {
    if command -v systemctl >/dev/null 2>&1; then
        $as_root systemctl disable "$1.service" >/dev/null 2>&1 || true
    fi
}

echo "Installing $missing for the tests ..."
$as_root apt-get update -q  # an old list names versions that are gone
case $missing in *PostgreSQL*) install_postgresql ;; esac
case $missing in *RabbitMQ*) install_rabbitmq ;; esac
case $missing in *curl*) install curl ;; esac
case $missing in *jq*) install jq ;; esac
case $missing in *Chromium*) install chromium fonts-dejavu-core ;; esac
case $missing in *nginx*) install_nginx ;; esac
case $missing in *systemd*) install systemd ;; esac
case $missing in *Prometheus*) install_prometheus ;; esac
