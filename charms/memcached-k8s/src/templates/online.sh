#!/bin/bash
# Ask the server for its version, as a client would. usage: online ADDRESS PORT
exec 3<>"/dev/tcp/$1/$2" && printf 'version\r\nquit\r\n' >&3 && read -r -t 3 answer <&3
[[ $answer == VERSION* ]]
