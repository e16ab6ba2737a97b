#!/bin/sh
# Start MariaDB, Keystone and Placement from Helio's images by hand, and print the seconds that
# passed until the first token. Everything lives in two containers without a network.
#
#   PODMAN="podman --root …" MARIADB=IMAGE OPENSTACK=IMAGE ./bare.sh
set -eu
work=$(mktemp -d)
chmod 755 "$work"
openstack=helio-bare-openstack
mariadb=helio-bare-mariadb
trap 'for name in $mariadb $openstack; do $PODMAN rm -f -t 0 $name >/dev/null 2>&1 || true; done; rm -rf "$work"' EXIT
in_openstack() { $PODMAN exec "$openstack" "$@"; }
started=$(date +%s.%N)

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
chmod 644 "$work/key.pem"
cat >"$work/keystone.conf" <<CONF
[database]
connection = mysql+pymysql://keystone:$password@127.0.0.1/keystone?charset=utf8
[fernet_tokens]
key_repository = /etc/keystone/fernet-keys
[credential]
key_repository = /etc/keystone/credential-keys
CONF
cat >"$work/placement.conf" <<CONF
[placement_database]
connection = mysql+pymysql://placement:$password@127.0.0.1/placement?charset=utf8
[api]
auth_strategy = keystone
[keystone_authtoken]
www_authenticate_uri = https://localhost:5000/v3
auth_url = https://localhost:5000/v3
cafile = /bare/cert.pem
auth_type = password
username = placement
password = $password
project_name = service
user_domain_name = Default
project_domain_name = Default
CONF
cat >"$work/first_token.py" <<'CODE'
import os, sys, time
from keystoneauth1 import session
from keystoneauth1.identity import v3
auth = v3.Password(auth_url="https://localhost:5000/v3", username="admin",
                   password=os.environ["PASSWORD"], project_name="admin",
                   user_domain_id="default", project_domain_id="default")
client = session.Session(auth=auth, verify="/bare/cert.pem")
for attempt in range(200):
    try:
        client.get_token()
        break
    except Exception:
        time.sleep(0.1)
else:
    sys.exit("no token")
for path in sys.argv[1:]:
    client.get(path)
CODE

$PODMAN run -d --name "$openstack" --network none -v "$work:/bare" \
    --entrypoint /bin/sleep "$OPENSTACK" infinity >/dev/null
$PODMAN run -d --name "$mariadb" --network "container:$openstack" -v "$work:/bare" \
    --entrypoint /bin/sh "$MARIADB" -c '
        mkdir -p /run/mysqld && chown mysql /run/mysqld
        mariadb-install-db --no-defaults --datadir=/var/lib/mysql --user=mysql --skip-test-db \
            --auth-root-authentication-method=normal >/dev/null
        exec mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql \
            --bind-address=127.0.0.1 --socket=/run/mysqld/mysqld.sock --skip-name-resolve' \
    >/dev/null
sql() { $PODMAN exec -i "$mariadb" mariadb --no-defaults --socket=/run/mysqld/mysqld.sock -uroot; }
until echo 'select 1' | sql >/dev/null 2>&1; do sleep 0.1; done
for name in keystone placement; do
    echo "CREATE DATABASE $name CHARACTER SET utf8mb3;
          GRANT ALL ON $name.* TO '$name'@'%' IDENTIFIED BY '$password';"
done | sql

in_openstack sh -ec '
    mkdir -p /etc/keystone/fernet-keys /etc/keystone/credential-keys /etc/placement
    cp /bare/keystone.conf /etc/keystone/ && cp /bare/placement.conf /etc/placement/
    chown -R keystone: /etc/keystone && chown -R placement: /etc/placement
    export PATH=/opt/openstack/bin:$PATH
    keystone-manage db_sync
    keystone-manage fernet_setup --keystone-user keystone --keystone-group keystone
    keystone-manage credential_setup --keystone-user keystone --keystone-group keystone
' >/dev/null 2>&1
$PODMAN exec -e "OS_BOOTSTRAP_PASSWORD=$password" "$openstack" /opt/openstack/bin/keystone-manage \
    bootstrap --bootstrap-public-url https://localhost:5000/v3 --bootstrap-region-id RegionOne \
    >/dev/null 2>&1
serve() { # name module port
    $PODMAN exec -d "$openstack" /opt/openstack/bin/uwsgi --uid "$1" --gid "$1" \
        --https-socket "127.0.0.1:$3,/bare/cert.pem,/bare/key.pem" --module "$2:application" \
        --virtualenv /opt/openstack --master --processes 2 --lazy-apps --enable-threads --need-app
}
serve keystone keystone.wsgi.api 5000
in_openstack /opt/openstack/bin/placement-manage db sync >/dev/null 2>&1
serve placement placement.wsgi.api 8778
$PODMAN exec -e "PASSWORD=$password" "$openstack" /opt/openstack/bin/python /bare/first_token.py
ended=$(date +%s.%N)
echo "$started $ended" | awk '{ printf "%.1f\n", $2 - $1 }'
