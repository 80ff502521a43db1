#!/bin/sh
# Runs tests under Debian's kernel in an emulated machine: it has SCTP, and lets 10,000 connections have their descriptors, where this
# one may do neither; or, with --systemd, as a service of systemd's with a dockerd beside it, and with IPVS for a swarm.
# scripts/test-vm.sh [--systemd] [TEST…]
#
# The machine sees this one's files, and writes over them in its memory. Its kernel is fetched by apt-get, and not installed.
set -eu
cd "$(dirname "$0")/.."
start_with='chroot /root /bin/sh /run/tests
echo "status $?"
echo o >/root/proc/sysrq-trigger
sleep 60'
if [ "${1-}" = --systemd ]; then
  shift
  start_with='exec switch_root /root /lib/systemd/systemd'
  [ $# -gt 0 ] || set -- test/e2e/systemd.test.ts test/e2e/systemd-publish.test.ts test/e2e/docker/swarm.test.ts
fi
[ $# -gt 0 ] || set -- test/proxy/native/sctp.test.ts test/proxy/native/direction.test.ts test/proxy/native/relay.test.ts \
  test/e2e/many-connections.test.ts

for program in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio modprobe:kmod xz:xz-utils apt-get:apt systemctl:systemd; do
  command -v "${program%:*}" >/dev/null || { echo "${program%:*} is missing: apt-get install ${program#*:}" >&2; exit 1; }
done

SECONDS_AT_MOST=900
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' HUP INT TERM

# The kernel, and the modules that are needed until its files are there, each after those that it needs itself.
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
[ -n "$package" ] || { echo "apt-get knows no linux-image-amd64: apt-get update" >&2; exit 1; }
(cd "$folder" && apt-get download -qq "$package" 2>/dev/null && dpkg -x "$package"_*.deb kernel)
version=${package#linux-image-}
depmod -b "$folder/kernel" "$version"
start=$folder/start
mkdir -p "$start/modules" "$start/bin" "$start/proc" "$start/sys" "$start/dev" "$start/files" "$start/memory" "$start/root"
cp "$(command -v busybox)" "$start/bin/busybox"
for module in virtio_pci 9pnet_virtio 9p overlay sctp; do
  modprobe -d "$folder/kernel" -S "$version" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | awk '!seen[$0]++' | while read -r file; do
  name=$(basename "$file")
  case $file in
  *.xz) xz -dc "$file" >"$start/modules/${name%.xz}" ;;
  *) cp "$file" "$start/modules/$name" ;;
  esac
  echo "${name%.xz}" >>"$start/modules/order"
done

cat >"$start/init" <<'END'
#!/bin/busybox sh
PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc && mount -t sysfs sysfs /sys && mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro files /files
mount -t tmpfs -o size=4g memory /memory
mkdir /memory/upper /memory/work
mount -t overlay -o lowerdir=/files,upperdir=/memory/upper,workdir=/memory/work overlay /root
for each in proc sys dev; do mount --move "/$each" "/root/$each"; done
mkdir -p /root/dev/shm /root/dev/pts
mount -t tmpfs run /root/run
mount -t tmpfs shm /root/dev/shm
mount -t devpts pts /root/dev/pts
ip link set lo up
cp /tests /root/run/tests
# For systemd and dockerd: the kernel's modules, a place for layers, which can't lie on an overlay, and nothing of this machine's own services.
mkdir -p "/root/lib/modules/$(uname -r)" /root/var/lib/docker
mount --bind "/files@FOLDER@/kernel/lib/modules/$(uname -r)" "/root/lib/modules/$(uname -r)"
mount -t tmpfs docker /root/var/lib/docker
mount -t tmpfs tmp /root/tmp
rm -f /root/etc/docker/daemon.json
cp /tests.service /tests.target /root/etc/systemd/system
ln -sf tests.target /root/etc/systemd/system/default.target
@START@
END
sed -i "s|@FOLDER@|$folder|" "$start/init"
START=$start_with awk '{ if ($0 == "@START@") print ENVIRON["START"]; else print }' "$start/init" >"$start/init.tmp"
mv "$start/init.tmp" "$start/init"
chmod +x "$start/init"
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=tests.service\nAllowIsolate=yes\n' >"$start/tests.target"
cat >"$start/tests.service" <<'END'
[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/bin/sh /run/tests; echo "status $$?"; echo o >/proc/sysrq-trigger; sleep 60'
StandardOutput=file:/dev/console
StandardError=inherit
TimeoutStartSec=infinity
END
{
  echo 'touch /run/docker-proxy-test-machine'
  echo "export HOME=/root CI=true PATH='$PATH'"
  [ -z "${FAULTS-}" ] || echo "export FAULTS='$FAULTS'"
  echo 'ulimit -n 65536'
  echo "cd '$PWD'"
  echo "exec node_modules/.bin/tap --no-color --timeout=300 --jobs=1 --reporter=tap $*"
} >"$start/tests"
(cd "$start" && find . | cpio -o -H newc --quiet) >"$folder/start.cpio"

timeout "$SECONDS_AT_MOST" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 6G -nic none -nographic -no-reboot \
  -kernel "$folder/kernel/boot/vmlinuz-$version" -initrd "$folder/start.cpio" -append 'console=ttyS0 quiet panic=-1' \
  -virtfs local,path=/,mount_tag=files,security_model=none,readonly=on,multidevs=remap </dev/null 2>&1 |
  tr -d '\r' | tee "$folder/output"
grep -q '^status 0$' "$folder/output"
