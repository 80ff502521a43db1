#!/bin/sh
# docker-publish-watchdog FOLDER
#
# Reads until the process at the other end of stdin has ended, however that came about; then ends the proxies that
# are still noted in the folder, and removes it. After an orderly end there are none.
read -r _
pids=
for file in "$1"/*.pid; do
  read -r pid <"$file" && pids="$pids $pid"
done 2>/dev/null
rm -rf "$1"
# shellcheck disable=SC2086 # They are several words.
[ -z "$pids" ] || { kill $pids; sleep 2; kill -9 $pids; } 2>/dev/null
