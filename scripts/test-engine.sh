#!/bin/sh
# Runs the dockerd tests with Debian sid's dockerd and with larger numbers than the suite: 50 restarts, 200 swaps of addresses, 100
# containers with labels. scripts/test-engine.sh [TEST…]
# ENGINE_FOLDER keeps the engine for the next run.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- test/e2e/docker/follow.test.ts test/e2e/docker/labels.test.ts test/e2e/docker/nat.test.ts
folder=${ENGINE_FOLDER-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 1' HUP INT TERM
fi
scripts/engine-of-sid.sh "$folder"
# A part that is missing makes a test fail, where it would be skipped elsewhere.
export CI=true
DOCKER_ROOT=$(cd "$folder/root" && pwd)
export DOCKER_ROOT
export RESTARTS="${RESTARTS-50}" SWAPS="${SWAPS-200}" CONTAINERS="${CONTAINERS-100}"
"$DOCKER_ROOT/usr/sbin/dockerd" --version
node_modules/.bin/tap --timeout=1200 --reporter=tap "$@"
