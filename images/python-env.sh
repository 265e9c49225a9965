#!/bin/sh
# images/python-env.sh EXTRA: makes /opt/cloister with what pyproject.toml's EXTRA needs, at the lock's versions and hashes.
# uv is told where this machine's pip finds its packages and its certificates; neither is written into the image.
set -eu
said() { /build/uv/bin/pip config list | sed -n "s/^[a-z:]*\(env\|global\|install\)[:.]*$1='\(.*\)'\$/\2/p" | head -n 1; }
cert=$(said cert)
index=$(said index-url)
[ -z "$cert" ] || export SSL_CERT_FILE="$cert"
[ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
python3 -m venv --without-pip /opt/cloister
exec /build/uv/bin/uv pip install --quiet --compile-bytecode --python /opt/cloister/bin/python \
  --constraint requirements.lock -r pyproject.toml --extra "$1"
