#!/bin/sh
# Starts the server; makes its data folder the first time. Pebble runs this at every start, so a
# server that died comes back without the charm.
set -eu
data=/var/lib/mysql/data

install -d -o mysql -g mysql -m 0755 /run/mysqld
install -d -o mysql -g mysql -m 0750 /var/lib/mysql
if [ ! -d "$data" ]; then
    # Made aside and renamed: a folder with the right name is always a complete one.
    rm -rf "$data.new"
    mariadb-install-db --no-defaults --user=mysql --datadir="$data.new" --skip-test-db \
        --auth-root-authentication-method=socket >/dev/null
    sync
    mv "$data.new" "$data"
fi
exec mariadbd --defaults-file=/etc/mysql/helio/server.cnf --user=mysql
