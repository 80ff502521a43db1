#!/bin/sh
# Bundles a benchmark and runs it: `bench.sh bench/NAME.ts [OPTION…]`.
set -e
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
npm run -s build
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# koffi is found from where the project is.
ln -s "$PWD/node_modules" "$folder/node_modules"
esbuild "$1" bench/lib/udp.ts bench/lib/fair.ts --bundle --platform=node --format=cjs --log-level=warning \
  --define:import.meta.url=\""file://$folder/bench.js"\" --outdir="$folder" --entry-names=[name]
name=$(basename "$1" .ts)
shift
BENCH_BUNDLES="$folder" node "$folder/$name.js" "$@"
