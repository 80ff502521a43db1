#!/bin/sh
# Runs the tests of containers with larger numbers than the suite: 50 restarts, 200 swaps of addresses, 100 containers with labels. The
# engine is Debian sid's dockerd, or with ENGINE=podman the Podman of this machine. scripts/test-engine.sh [TEST…]
# ENGINE_FOLDER keeps the dockerd for the next run.
set -eu
cd "$(dirname "$0")/.."
# A part that is missing makes a test fail, where it would be skipped elsewhere.
export CI=true
export RESTARTS="${RESTARTS-50}" SWAPS="${SWAPS-200}" CONTAINERS="${CONTAINERS-100}"
tests=test/e2e/docker
if [ "${ENGINE-docker}" = podman ]; then
  [ $# -gt 0 ] || set -- $tests/follow.test.ts $tests/labels.test.ts $tests/podman.test.ts
else
  [ $# -gt 0 ] || set -- $tests/follow.test.ts $tests/labels.test.ts $tests/nat.test.ts \
    $tests/warnings.test.ts
  folder=${ENGINE_FOLDER-}
  if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' HUP INT TERM
  fi
  scripts/engine-of-sid.sh "$folder"
  DOCKER_ROOT=$(cd "$folder/root" && pwd)
  export DOCKER_ROOT
  "$DOCKER_ROOT/usr/sbin/dockerd" --version
fi
node_modules/.bin/tap --timeout=1200 --reporter=tap "$@"
