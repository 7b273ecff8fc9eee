#!/bin/sh
# Installs what the benchmark compares with: nginx from Debian's packages, never started by the system.
set -eu
command -v nginx >/dev/null 2>&1 && exit 0
[ -x /usr/sbin/nginx ] && exit 0
if [ "$(id -u)" = 0 ]; then run=""; elif command -v sudo >/dev/null 2>&1; then run="sudo"; else
  echo "nginx is missing. Install it with: apt-get install nginx-light" >&2
  exit 1
fi
# The package would start nginx on port 80: a policy file forbids it for the time of the installation.
policy=/usr/sbin/policy-rc.d
created=""
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null
  $run chmod +x "$policy"
  created=1
fi
$run env DEBIAN_FRONTEND=noninteractive sh -c 'apt-get update -qq && apt-get install -y -qq nginx-light' >/dev/null
[ -z "$created" ] || $run rm -f "$policy"
