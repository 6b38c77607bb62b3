#!/bin/sh
# Follow a stream with curl, and resume after every break, also after one of this script:
#
#   sh examples/follow.sh http://127.0.0.1:3000 dashboard_updates position.txt
#
# Prints one update a line; what it is told beside updates goes to stderr.
set -u
url=${1:-http://127.0.0.1:3000}
stream=${2:-dashboard_updates}
file=${3:-position.txt}  # a file also because what reads events is a process of its own

# By a second file: whoever ends within a write of the file itself would leave it empty.
keep() { printf '%s\n' "$1" >"$file.new" && mv "$file.new" "$file"; }

# The lines of events become updates on stdout, and the position in the file.
read_events() {
    event=message data='' id=''
    while IFS= read -r line; do
        case $line in
            'event: '*) event=${line#event: } ;;
            'data: '*) data=${line#data: } ;;
            'id: '*) id=${line#id: } ;;
            '')
                case $event in
                    message) [ -z "$data" ] || printf '%s\n' "$data" ;;
                    heartbeat) ;;
                    *) printf '%s %s\n' "$event" "$data" >&2 ;;
                esac
                [ -z "$id" ] || keep "$id" # behind the update: one that was not printed is sent again
                event=message data='' id=''
                ;;
        esac
    done
}

# Seconds from 1 to 5, at random, so that those who were cut off together do not come back together. Not by awk's rand(),
# which in all programs of one second is the same.
pause() { awk "BEGIN { print 1 + 4 * $(od -An -N2 -tu2 /dev/urandom) / 65536 }"; }

while :; do
    position=''
    [ ! -s "$file" ] || position=$(cat "$file")
    # Slower than a byte a second for 35 seconds: two heartbeats are missing.
    curl -sS -N --fail --connect-timeout 10 --speed-limit 1 --speed-time 35 \
        -H "Last-Event-ID: $position" "$url/dashboard/stream?stream=$stream" | read_events
    sleep "$(pause)"
done
