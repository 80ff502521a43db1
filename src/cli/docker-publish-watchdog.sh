#!/bin/sh
# docker-publish-watchdog FOLDER
#
# Reads until the process at the other end of stdin has ended, however that came about; then ends the proxies that
# are still noted in the folder, and removes it. After an orderly end there are none.
read -r _
for file in "$1"/*.pid; do
  read -r pid <"$file" && kill "$pid"
done 2>/dev/null
rm -rf "$1"
