#!/bin/sh
# docker-proxy, as dockerd starts it. Where a docker-proxyd runs, this hands it the port, and waits until it may end; elsewhere it
# becomes the program that serves the port alone. There is no fork on the way to docker-proxyd: it would take longer than all the rest.
#
#   3  status pipe, of dockerd      7  a pipe of our own, on which docker-proxyd answers
#   4  listening socket, of dockerd 9  control pipe of docker-proxyd

# Where sh is bash, these may come with the environment.
set +eu

become() {
  path=$(readlink -f "$0")
  program=${path%/*}/docker-proxy-process
  # A copy of this script alone has nothing beside it.
  [ -e "$program" ] || program='@FOLDER@/docker-proxy-process'
  if [ ! -e "$program" ]; then
    reason="docker-proxy has been moved away from $program: install it again, or link to it"
    { printf '1\n%s' "$reason" >&3; } 2>/dev/null
    echo "$reason" >&2
    exit 1
  fi
  DOCKER_PROXY_COMMAND=$0
  export DOCKER_PROXY_COMMAND
  # Who was told to end meanwhile does.
  ${ending:+exit 0}
  trap - INT TERM USR1 PIPE
  exec "$program" "$@" 7>&- 9>&-
}

# Whether a docker-proxyd holds this control pipe: its pid file may be a leftover. What others may have put there is none.
is_served() {
  [ -O "$run" ] && { read -r host_pid host_fd <"$run/pid"; } 2>/dev/null &&
    [ "/proc/$host_pid/fd/$host_fd" -ef "$1" ]
}

ending=
run=${DOCKER_PROXY_RUN_DIR:-/run/docker-proxy}
# Others than root have theirs; theirs may not be looked into.
[ -n "$DOCKER_PROXY_RUN_DIR" ] || [ -O "$run" ] || run=$XDG_RUNTIME_DIR/docker-proxy
case $DOCKER_PROXY_ISOLATION in
'' | auto | shared) is_served "$run/control" || become "$@" ;;
# What is neither is the program's to refuse.
*) become "$@" ;;
esac
# docker-proxyd knows launchers by their name.
[ "${0##*/}" = docker-proxy ] || become "$@"

# A here-document of one line is a pipe, made without a fork; where it is a file, this can't be done.
exec 7<<END
line
END
[ -p "/proc/$$/fd/7" ] || become "$@"
# command: a failure of exec itself would end the shell.
command exec 7<>"/proc/$$/fd/7" 9<>"$run/control" || become "$@"
read -r line <&7

# Whoever takes the port up after one that has died of it, or before it was asked to, is told again. Without one nothing is forwarded, and
# nobody would answer. Traps are kept as text: a function more, or a test in the loop, would take 4 KB of each of a thousand shells.
trap 'ending=yes
is_served "/proc/$$/fd/9" || exit 0
printf "\nstop %s\n" $$ >&9' INT TERM
# A signal between the look for signals and the wait in read is not seen until read ends: docker-proxyd sends one of these after it.
trap : USR1 USR2 ALRM
# Whoever started us may not listen any more.
trap '' PIPE
# The first end is for what somebody may have left there without one.
printf '\nstart %s\n' $$ >&9
while :; do
  read -r answer code reason <&7 || continue
  case $answer in
  ready)
    { echo 0 >&3; } 2>/dev/null
    exec 3>&-
    ${ending:+kill -TERM $$}
    ;;
  failed)
    read -r complaint <&7
    { printf '1\n%s' "$reason" >&3; } 2>/dev/null
    # docker-proxyd may have told it already.
    [ -z "$complaint" ] || echo "$complaint" >&2
    exit "$code"
    ;;
  exit) exit "$code" ;;
  become) become "$@" ;;
  esac
done
