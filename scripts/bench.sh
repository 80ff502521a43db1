#!/bin/sh
# Bundles a program of bench/, and those of bench/load that it starts, and becomes it: `bench.sh bench/NAME.ts [OPTION…]`.
set -e
BENCH_ROOT=$(cd "$(dirname "$0")/.." && pwd)
BENCH_BUNDLES=$(mktemp -d)
export BENCH_ROOT BENCH_BUNDLES
# From when it is node, that removes it.
trap 'rm -rf "$BENCH_BUNDLES"; exit 1' HUP INT TERM
# Whatever stands above it.
echo '{ "type": "commonjs" }' >"$BENCH_BUNDLES/package.json"
# koffi is found from where the project is.
ln -s "$BENCH_ROOT/node_modules" "$BENCH_BUNDLES/node_modules"
(
  cd "$BENCH_ROOT"
  node_modules/.bin/esbuild "$1" bench/load/*.ts --bundle --platform=node --target=node20 --format=cjs --log-level=warning \
    --external:koffi --define:import.meta.url=\""file://$BENCH_BUNDLES/bench.js"\" --outdir="$BENCH_BUNDLES" --entry-names=[name]
) || {
  rm -rf "$BENCH_BUNDLES"
  exit 1
}
name=$(basename "$1" .ts)
shift
exec node "$BENCH_BUNDLES/$name.js" "$@"
