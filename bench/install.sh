#!/bin/sh
# Installs what the benchmark compares with from Debian's packages, nginx and HAProxy; neither is started by the system.
set -eu
PATH=$PATH:/usr/sbin
missing=""
command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
command -v haproxy >/dev/null 2>&1 || missing="$missing haproxy"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ]; then run=""; elif command -v sudo >/dev/null 2>&1; then run="sudo"; else
  echo "Something is missing. Install it with: apt-get install$missing" >&2
  exit 1
fi
# The packages would start their servers: a policy file forbids it for the time of the installation.
policy=/usr/sbin/policy-rc.d
created=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null
  $run chmod +x "$policy"
  created=1
fi
$run env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq$missing" >/dev/null
[ -z "$created" ] || $run rm -f "$policy"
