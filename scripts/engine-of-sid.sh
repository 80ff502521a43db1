#!/bin/sh
# Unpacks the Docker Engine and compose of Debian's sid into a folder, and installs nothing: scripts/engine-of-sid.sh FOLDER
# It runs beside an older Debian's own, with the runc of that one. A folder that has it already is left as it is.
set -eu
folder=$1
[ ! -x "$folder/root/usr/sbin/dockerd" ] || exit 0
mkdir -p "$folder/root" "$folder/debs" "$folder/lists/partial"
folder=$(cd "$folder" && pwd)
uri=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/*.sources | head -1)
echo "deb [check-valid-until=no signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri sid main" >"$folder/sources.list"
from_sid() {
  apt-get -qq -o Dir::Etc::SourceList="$folder/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$folder/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root "$@"
}
from_sid update
(cd "$folder/debs" && from_sid download docker.io docker-cli docker-compose containerd)
for package in "$folder"/debs/*.deb; do dpkg -x "$package" "$folder/root"; done
