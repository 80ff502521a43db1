#!/bin/sh
# Runs the end-to-end suite of the drop-in with programs on a Node that is linked with musl, as Alpine's is: scripts/test-musl.sh [FILE…]
# npm's registry has none by itself, but pnpm 11 for musl is one, with its script in a file beside it. Debian has musl (package
# musl-tools), though no C++ library for it: that of glibc does, with what scripts/musl-shim.c adds.
set -eu
cd "$(dirname "$0")/.."
package=@pnpm/linuxstatic-x64@11.21.0
libraries=/usr/lib/x86_64-linux-gnu

[ "$(uname -m)" = x86_64 ] || { echo "there is no Node for musl to fetch for $(uname -m)" >&2; exit 1; }
command -v musl-gcc >/dev/null || { echo 'musl-gcc is missing: install musl-tools' >&2; exit 1; }
[ $# -gt 0 ] || set -- $(printf 'test/e2e/%s.test.ts\n' \
  flags listen-fd status-pipe process settings log descriptors workers proxyd)

folder=$(mktemp -d)
# Some tests become another user.
chmod 755 "$folder"
trap 'rm -rf "$folder"' EXIT

# npm installs nothing for another C library.
(cd "$folder" && tar -xzf "$(npm pack --silent "$package")")
program=$folder/package
chmod 755 "$program/pnpm"
mkdir "$program/dist" "$folder/lib" "$folder/bin"
cp scripts/musl-node.mjs "$program/dist/pnpm.mjs"
ln -s "$libraries/libstdc++.so.6" "$libraries/libgcc_s.so.1" "$folder/lib"
ln -s /lib/ld-musl-x86_64.so.1 "$folder/lib/libc.musl-x86_64.so.1"
musl-gcc -shared -fPIC -O1 -o "$folder/shim.so" scripts/musl-shim.c
# glibc's loader, which the C++ library asks for by name.
musl-gcc -shared -fPIC -Wl,-soname,ld-linux-x86-64.so.2 -o "$folder/lib/ld-linux-x86-64.so.2" -x c /dev/null
cat >"$folder/bin/node" <<END
#!/bin/sh
LD_PRELOAD=$folder/shim.so LD_LIBRARY_PATH=$folder/lib MUSL_NODE=\$0 exec $program/pnpm "\$@"
END
chmod 755 "$folder/bin/node"

# The tests themselves run on the Node of this machine, and start programs, which take theirs from PATH.
node=$(node -p process.execPath)
PATH="$folder/bin:$PATH" ./dist/docker-proxy -version
PATH="$folder/bin:$PATH" "$node" node_modules/.bin/tap --reporter=tap "$@"
