#!/bin/bash
# Starts the server; makes its data folder the first time. Pebble runs this at every start, so a
# server that died comes back without the charm. The charm says in `cluster` what to be:
# me=short name, clustered=yes|no, members=names, may_found=yes|no.
set -eu
storage=/var/lib/mysql
data=$storage/data
settings=/etc/mysql/helio
server=(mariadbd --defaults-file=$settings/server.cnf --user=mysql)

answers() { # does any other member take part in the cluster?
    local member
    for member in ${members//,/ }; do
        [ "${member%%.*}" = "$me" ] && continue
        timeout 2 bash -c "exec 3<>/dev/tcp/$member/4567" 2>/dev/null && return 0
    done
    return 1
}

install -d -o mysql -g mysql -m 0755 /run/mysqld
install -d -o mysql -g mysql -m 0750 $storage
if [ ! -d $data ]; then
    # Made aside and renamed: a folder with the right name is always a complete one.
    rm -rf $data.new
    mariadb-install-db --no-defaults --user=mysql --datadir=$data.new --skip-test-db \
        --auth-root-authentication-method=socket >/dev/null
    sync
    mv $data.new $data
fi

. $settings/cluster
if [ "$clustered" = no ]; then
    # What is written now is in no cluster's history: forget that there was one.
    rm -f $data/grastate.dat $data/gvwstate.dat $data/galera.cache $storage/recovered
    exec "${server[@]}"
fi

position=()
if grep -q '^seqno: *-1$' $data/grastate.dat 2>/dev/null; then
    # After a crash only InnoDB knows the last change. With it the others send what is missing
    # instead of everything.
    rm -f $storage/recovered
    log=$("${server[@]}" --wsrep-cluster-address=gcomm:// --wsrep-recover 2>&1) || {
        echo "$log" >&2
        exit 1
    }
    place=$(sed -n 's/.*WSREP: Recovered position: *//p' <<<"$log" | tail -1)
    if [ -n "$place" ]; then
        position=(--wsrep-start-position="$place")
        echo "$place" >$storage/recovered
    fi
fi

# Members that died together continue together: each starts at once and waits for the others.
while [ ! -s $data/gvwstate.dat ] && ! answers; do
    if [ "$may_found" = yes ]; then
        # The leave to found is for once: a later start may only join.
        sed -i 's/^may_found=.*/may_found=no/' $settings/cluster
        if [ -e $data/grastate.dat ]; then
            sed -i 's/^safe_to_bootstrap:.*/safe_to_bootstrap: 1/' $data/grastate.dat
        fi
        exec "${server[@]}" --wsrep-cluster-address="gcomm://$members" "${position[@]}" \
            --wsrep-new-cluster
    fi
    sleep 1
    . $settings/cluster
done
exec "${server[@]}" --wsrep-cluster-address="gcomm://$members" "${position[@]}"
