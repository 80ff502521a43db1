#!/bin/sh
# Starts docker-proxyd for launchers that find none. One launcher starts it, and others that come meanwhile wait for it here. With the pid of
# a docker-proxyd that has ended, it tries again until one runs, or no launcher is left. Exit code 0: a docker-proxyd serves the folder.
#
#   $1  run folder          $2  pid of a docker-proxyd that has ended while it had ports
#   7  the pipe whose end tells the launcher that this script has ended; closed for all programs that may outlive it
#   8  the file that is locked during a start

# If sh is bash, the environment may set these options.
set +eu
run=$1
case $run in /*) ;; *) run=$PWD/$run ;; esac
ended=$2
folder=${0%/*}
umask 077
# dockerd passes these on, but systemd sets them for dockerd alone.
unset NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID
. is-served.sh

# Seconds between two starts within which a docker-proxyd counts as one that crashes.
CRASH_SECONDS=60
MAX_DELAY=30

# docker-proxyd logs to the journal, or to a file: in a run folder that somebody has chosen, and else where logs are.
start_logged() {
  log=$run/log
  if [ -z "$DOCKER_PROXY_RUN_DIR" ]; then
    [ ! -S /run/systemd/journal/socket ] || ! command -v systemd-cat >/dev/null ||
      exec setsid systemd-cat -t docker-proxyd "$@"
    { true >>/var/log/docker-proxyd.log; } 2>/dev/null && log=/var/log/docker-proxyd.log
  fi
  exec setsid "$@" >>"$log" 2>&1
}

# docker-proxyd writes to its descriptor 3 when it is ready, or why it is not, and closes it.
start() {
  [ -d "$run" ] || mkdir -p "$run" 2>/dev/null
  # In a folder of another user, the file could be a link.
  [ -O "$run" ] || return 1
  [ -f "$run/starting" ] || [ ! -e "$run/starting" ] || return 1
  command exec 8>>"$run/starting" || return 1
  flock 8 7>&- || return 1
  is_served "$run/control" && return
  cd / || return 1
  status=$(start_logged "$folder/docker-proxyd" --run-dir "$run" --on-demand ${ended:+--after "$ended"} 3>&1 4>&- 7>&- 8>&- 9>&- &)
  exec 8>&-
  [ "$status" = 0 ]
}

# Waits before a start if the last one was not long ago. The file keeps the time and the delay for the next docker-proxyd-start.
last=0
delay=0
back_off() {
  [ ! -f "$run/restarts" ] || read -r last delay <"$run/restarts"
  case $last$delay in *[!0-9]* | '') last=0 delay=0 ;; esac
  now=$(date +%s)
  if [ $((now - last)) -lt $CRASH_SECONDS ]; then
    delay=$((delay == 0 ? 1 : delay * 2))
    [ $delay -lt $MAX_DELAY ] || delay=$MAX_DELAY
  else
    delay=0
  fi
  # On a full disk docker-proxyd can't start.
  { echo "$((now + delay)) $delay" >"$run/restarts"; } 2>/dev/null || delay=$MAX_DELAY
  [ $delay = 0 ] || sleep $delay 7>&-
}

# Whether any launcher has the control pipe open.
is_wanted() {
  for fd in /proc/[0-9]*/fd/9; do
    [ "$fd" -ef "$run/control" ] && return
  done
  return 1
}

[ -n "$ended" ] || {
  start
  exit
}
while is_wanted && ! is_served "$run/control"; do
  back_off
  is_wanted && start && exit
done
