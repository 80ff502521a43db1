#!/bin/sh
# The drop-in, with a docker-proxyd of its own: that has its environment, limits and stderr, and ends with it.
folder=$PROXYD_FOLDERS/$$
dist=$(readlink -f "$0")
dist=${dist%/test/lib/*}/dist
mkdir "$folder" && mkfifo "$folder/ready" || exit 1
setpriv --pdeathsig TERM "$dist/docker-proxyd" --run-dir "$folder/run" >"$folder/ready" 3>&- &
# One that does not start says so itself, and docker-proxy becomes the program.
read -r ready <"$folder/ready"
DOCKER_PROXY_RUN_DIR=$folder/run exec "$dist/docker-proxy" "$@"
