#!/bin/sh
# docker-proxy, as dockerd starts it. If a docker-proxyd runs, this script hands the port over to it, and waits until it may end.
# Otherwise it becomes the program that serves the port alone. On the way to docker-proxyd it never forks: a fork would take longer than
# everything else.
#
#   3  status pipe of dockerd          7  our own pipe, on which docker-proxyd replies
#   4  listening socket of dockerd     9  control pipe of docker-proxyd

# If sh is bash, the environment may set these options.
set +eu

refuse() {
  { printf '1\n%s' "$1" >&3; } 2>/dev/null
  echo "$1" >&2
  exit 1
}

become() {
  stop_reminder
  limit=$(ulimit -n)
  [ "$limit" = unlimited ] || [ "$limit" -ge @MIN_DESCRIPTORS@ ] ||
    refuse "docker-proxy: too many open files: the limit is $limit; raise it, for example with ulimit -n 1024"
  find_folder
  program=$folder/docker-proxy-process
  [ -e "$program" ] ||
    refuse "docker-proxy has been moved away from $program: install it again, or link to it"
  DOCKER_PROXY_COMMAND=$0
  export DOCKER_PROXY_COMMAND
  # Exit if a stop signal has arrived in the meantime.
  ${ending:+exit 0}
  trap - INT TERM USR1 PIPE
  # Options for Node that somebody set for another program could keep it from starting, or open a debugger.
  export NODE_OPTIONS=--inspect-port=192.0.2.1:9229
  exec "$program" "$@" 7>&- 9>&-
}

. is-served.sh

# The folder of the programs. A copy of this script has none beside it.
find_folder() {
  path=$(readlink -f "$0")
  folder=${path%/*}
  [ -e "$folder/docker-proxy-process" ] || folder='@FOLDER@'
}

# Starts a docker-proxyd, or waits until another launcher has started it. Only a parent that reads the status, as dockerd does, gets one.
start_proxyd() {
  [ -z "$DOCKER_PROXY_ON_DEMAND" ] || [ "$DOCKER_PROXY_ON_DEMAND" = yes ] || return 1
  [ -e "/proc/$$/fd/3" ] && [ "${0##*/}" = docker-proxy ] || return 1
  find_folder
  "$folder/docker-proxyd-start" "$run" 3>&- 4>&- && is_served "$run/control" || return 1
  # It may end before it replies, and nobody else may have a port. read ends with the signal, and this launcher looks for the next one.
  server=$host_pid
  (
    # Not TERM: a shell that was started with a signal ignored can't trap it.
    trap 'kill -KILL $! 2>/dev/null; exit' USR1
    for delay in 1 4 10; do
      sleep $delay &
      wait $!
      [ "/proc/$$/fd/9" -ef "$run/control" ] && kill -USR1 $$ || exit
    done
  ) 3>&- 4>&- &
  reminder=$!
}

# Ends the reminder, because a reply has come.
stop_reminder() {
  [ -n "$reminder" ] || return
  # The reminder may have ended, and its number may belong to another process by now.
  { read -r _ _ _ parent _ <"/proc/$reminder/stat"; } 2>/dev/null && [ "$parent" = $$ ] &&
    { kill -USR1 "$reminder"; wait "$reminder"; } 2>/dev/null
  reminder=
}

# read has ended: there was a signal, or docker-proxyd has ended and its end of the pipe is closed. The next docker-proxyd replies to all
# launchers. If there is none yet, one launcher starts it. That launcher's read ends with docker-proxyd-start, which may be killed as well.
look_for_server() {
  [ -n "$server" ] || return
  # A signal says nothing about docker-proxyd-start.
  was_woken=$woken
  woken=
  [ -z "$was_woken" ] || [ "$elected" != "$server" ] || return
  next=
  is_served "/proc/$$/fd/9" && next=$host_pid
  [ "$next" != "$server" ] || return
  # This end is a writing end as well, so that read waits.
  exec 7<>"/proc/$$/fd/7"
  # A launcher that ends between its election and the start would leave the others without one.
  trap 'ending=yes' INT TERM
  set -C
  # On a full disk there is no such file, and all launchers try.
  if [ -z "$next" ] && [ "/proc/$$/fd/9" -ef "$run/control" ] &&
    { [ "$elected" = "$server" ] || { true >"$run/after.$server"; } 2>/dev/null || [ ! -e "$run/after.$server" ]; } && find_folder; then
    pause=$((pause == 0 ? 1 : pause * 2))
    [ $pause -lt 30 ] || pause=30
    [ "$elected" = "$server" ] || pause=0
    elected=$server
    # Descriptor 9 is closed before the second fork: docker-proxyd takes a process for a launcher if it has that, and its parent has not.
    (
      exec 4>&- 9>&-
      {
        [ $pause = 0 ] || sleep $pause
        exec "$folder/docker-proxyd-start" "$run" "$server"
      } &
    )
    exec 7<"/proc/$$/fd/7"
  else
    server=
  fi
  set +C
  trap "$stop" INT TERM
  ${ending:+kill -TERM $$}
}

# From a reply on, docker-proxyd keeps the other end of the pipe open as long as it lives: read ends with it.
#   $1  watch, if it does so      $2  its pid
watch_server() {
  stop_reminder
  [ "$1" = watch ] && [ "$DOCKER_PROXY_ON_DEMAND" != no ] || return
  server=$2
  exec 7<"/proc/$$/fd/7"
}

# Whether this user is root, without a fork. Only the first port of a run folder asks.
is_root() {
  while read -r key _ user _; do
    [ "$key" != Uid: ] || break
  done <"/proc/$$/status"
  [ "$user" = 0 ]
}

ending=
server=
elected=
woken=
pause=0
reminder=
run=${DOCKER_PROXY_RUN_DIR:-/run/docker-proxy}
# Users other than root have their own folder.
[ -n "$DOCKER_PROXY_RUN_DIR" ] || [ -O "$run" ] || is_root || run=$XDG_RUNTIME_DIR/docker-proxy
case $DOCKER_PROXY_USER:$DOCKER_PROXY_ISOLATION in
: | :auto) is_served "$run/control" || start_proxyd || become "$@" ;;
:shared) is_served "$run/control" || become "$@" ;;
# The program also refuses other values, and becomes another user.
*) become "$@" ;;
esac
# docker-proxyd recognises launchers by their name.
[ "${0##*/}" = docker-proxy ] || become "$@"

# A here-document of one line is a pipe, and making it needs no fork. In shells where it is a file, this is impossible.
exec 7<<END
line
END
[ -p "/proc/$$/fd/7" ] || become "$@"
# Without `command`, a failure of exec would end the shell.
command exec 7<>"/proc/$$/fd/7" 9<>"$run/control" || become "$@"
read -r line <&7

# If a docker-proxyd takes the port up later, the branches `told` and `ready` repeat the stop. Without a docker-proxyd nothing is forwarded, and nobody would
# reply, so the launcher ends. The trap is a text, because a function or a test in the loop would take 4 KB of each of a thousand shells.
stop='ending=yes
is_served "/proc/$$/fd/9" || exit 0
printf "\nstop %s\n" $$ >&9'
trap "$stop" INT TERM
# A signal that comes just before read waits is noticed only when read ends. Therefore docker-proxyd sends USR1 later.
trap woken=yes USR1
# Docker's program ignores these signals as well: XCPU, XFSZ, VTALRM, PROF, IO and PWR by their numbers, as not every shell has the names.
trap '' USR2 ALRM 24 25 26 27 29 30
# The parent may have closed the status pipe.
trap '' PIPE
# The leading line feed ends a line that another writer may have left incomplete.
printf '\nstart %s\n' $$ >&9
while :; do
  read -r answer code reason <&7 || {
    look_for_server
    continue
  }
  case $answer in
  told)
    exec 3>&-
    watch_server $code $reason
    ${ending:+kill -TERM $$}
    ;;
  ready)
    # docker-proxyd could not write the status. A shell that waits for room in a full pipe runs no trap. Without one, a signal ends it.
    trap - INT TERM
    { echo 0 >&3; } 2>/dev/null
    trap "$stop" INT TERM
    exec 3>&-
    watch_server $code $reason
    ${ending:+kill -TERM $$}
    ;;
  failed)
    trap - INT TERM
    stop_reminder
    read -r complaint <&7
    { printf '1\n%s' "$reason" >&3; } 2>/dev/null
    # docker-proxyd may have written it already.
    [ -z "$complaint" ] || echo "$complaint" >&2
    exit "$code"
    ;;
  exit)
    stop_reminder
    exit "$code"
    ;;
  become) become "$@" ;;
  esac
done
