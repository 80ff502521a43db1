#!/bin/sh
# docker-publish-shim BASE PROGRAM ARGS…
#
# Stays between the daemon and a proxy, so that the proxy can outlive the daemon and its exit status is not lost:
# it waits, and writes the status to BASE.exit. A second shell notes the pid in BASE.pid and becomes the proxy.
# Nothing is said about a child that was killed, whatever the shell would like to say: dash says it to where the child's
# stderr goes when that is redirected for the one command, but not out of a subshell.
exec 9>&2 2>/dev/null
base=$1
shift
( exec 2>&9 9>&-; exec /bin/sh -c '
  echo $$ >"$0.pid" || { printf "1\\ncan\047t write %s.pid: is the disk full?" "$0" >&3; exit 1; }
  exec "$@"
' "$base" "$@" )
status=$?
# The daemon takes BASE.pid away when it wants to hear no more.
[ -e "$base.pid" ] && echo "$status" >"$base.exit"
exit "$status"
