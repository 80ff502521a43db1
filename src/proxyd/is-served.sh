# Whether a docker-proxyd of this user has this control pipe open: the file that names it may be a leftover. Other users may have made the
# folder, or put files into it, so the owner of each is checked. A link leads wherever its maker wants. Sets host_pid.
is_served() {
  [ -O "$run" ] && { [ -n "$DOCKER_PROXY_RUN_DIR" ] || [ ! -L "$run" ]; } && [ -O "$run/server" ] && [ -O "$1" ] && [ -p "$1" ] &&
    { read -r host_pid host_fd mode <"$run/server"; } 2>/dev/null && [ -O "/proc/$host_pid" ] &&
    [ "/proc/$host_pid/fd/$host_fd" -ef "$1" ]
}
