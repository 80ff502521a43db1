#!/bin/sh
# Unpacks the Docker Engine and compose of Debian's sid into FOLDER/root, and installs nothing: scripts/engine-of-sid.sh FOLDER
# It uses the runc that is installed. A folder that has an engine already is left as it is.
set -eu
mkdir -p "$1"
folder=$(cd "$1" && pwd)
[ ! -d "$folder/root" ] || exit 0
uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^#' | grep -o 'https\?://[^ ]*/debian\(/\| \|$\)' | head -1)
[ -n "$uri" ] || { echo "no mirror of Debian in /etc/apt/sources.list and /etc/apt/sources.list.d: add one" >&2; exit 1; }
rm -rf "$folder/new"
mkdir -p "$folder/new/debs" "$folder/new/root" "$folder/new/lists/partial"
cd "$folder/new"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${uri% } sid main" >sources.list
# apt's own user may not enter the folder.
from_sid() {
  apt-get -qq -o APT::Sandbox::User=root -o Dir::Etc::SourceList="$folder/new/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$folder/new/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= "$@"
}
from_sid update
(cd debs && from_sid download docker.io docker-cli docker-compose containerd)
for package in debs/*.deb; do dpkg -x "$package" root; done
# Complete only now.
mv root "$folder/root"
rm -rf "$folder/new"
