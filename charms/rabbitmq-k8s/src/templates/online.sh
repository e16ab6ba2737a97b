#!/bin/sh
# Ask the broker as clients do: over TLS, by the name that they use, trusting what they trust. It
# answers the protocol's greeting with the method Connection.Start (class 10, method 10).
# usage: online.sh ADDRESS PORT NAME
test -e /var/lib/rabbitmq/member || exit 1
answer=$(
    # The connection is closed when its input ends, so that is left open for the answer.
    { printf 'AMQP\000\000\011\001' && sleep 1; } |
        openssl s_client -quiet -no_ign_eof -connect "$1:$2" -servername "$3" \
            -verify_hostname "$3" -verify_return_error -CAfile /etc/rabbitmq/ca.pem 2>/dev/null |
        head -c 11 | tail -c 4 | od -An -tx1
)
test "$answer" = " 00 0a 00 0a"
