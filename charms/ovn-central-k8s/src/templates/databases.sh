# Names of the databases, by `nb` and `sb`; read by the other scripts.
describe() {
    case $1 in
        nb) name=OVN_Northbound table=NB_Global raft=6643 ;;
        sb) name=OVN_Southbound table=SB_Global raft=6644 ;;
    esac
    file=/var/lib/ovn/ovn$1.db
    socket=/run/ovn/ovn$1.sock
    control=/run/ovn/ovn$1.ctl
}
tls=/etc/ovn/tls
keys="--private-key=$tls/key.pem --certificate=$tls/cert.pem --ca-cert=$tls/ca.pem"
as_ovn='setpriv --reuid ovn --regid ovn --init-groups --'
