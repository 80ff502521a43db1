#!/bin/sh
# Line coverage of the unit tests, as a table. test/e2e and test/bench start the built programs, which it does not see.
set -eu
cd "$(dirname "$0")/.."
folders=$(ls -d test/*/ | grep -v -e test/e2e/ -e test/bench/ -e test/lib/)
# shellcheck disable=SC2086 # Several words.
exec node_modules/.bin/tap --no-disable-coverage --allow-incomplete-coverage --coverage-report=text --reporter=silent $folders
