#!/bin/sh
# Run as root at image build, after postgresql-NN was installed and user 65532 made: prepares the template that every new
# data directory is a copy of, and installs the entry point.
set -eu

here=$(dirname "$0")
bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)")
template=/usr/share/cloister/postgres-template

# What Debian's packaging may have started by itself is not ours to ship.
rm -rf /var/lib/postgresql/*/main /etc/postgresql/*/main

install -d -o 65532 -g 65532 -m 0700 "$template" /var/lib/postgresql/data
install -d -o 65532 -g 65532 -m 0775 /var/run/postgresql
# No password is set: over the network nobody can log in until the entry point has set the mounted one.
# C.UTF-8 sorts by code point in every version of the C library, so an upgrade of the image never breaks an index.
setpriv --reuid 65532 --regid 65532 --clear-groups \
  "$bin/initdb" --pgdata="$template" --username=postgres --data-checksums --no-sync --no-instructions \
  --encoding=UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
# The mounted configuration is the only one.
rm "$template/postgresql.conf" "$template/pg_hba.conf" "$template/pg_ident.conf"

# Python compiles once, here, and not at each start of a container.
chmod -R a+rX "$here"
python3 -m compileall -q "$here"
printf '#!/bin/sh\nexec python3 -E -s %s/cloister_postgres.py "$@"\n' "$(cd "$here" && pwd)" >/usr/local/bin/cloister-postgres
chmod 0755 /usr/local/bin/cloister-postgres
