#!/bin/sh
# The guest's first process: mounts what a container host has, runs one suite, powers off.
export PATH=/bin HOME=/root
umask 022

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpffs /sys/fs/bpf
mount -t securityfs securityfs /sys/kernel/security
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
ip link set lo up

# The value of a parameter of the kernel's command line.
parameter() {
	for word in $(cat /proc/cmdline); do
		case "$word" in "$1"=*) echo "${word#*=}" ;; esac
	done
}

case "$(parameter syva.cgroup)" in
none) ;;
hybrid)
	mount -t tmpfs tmpfs /sys/fs/cgroup
	# Not memory: kernels from 6.12 on are built without its version 1.
	for controller in cpu pids; do
		mkdir "/sys/fs/cgroup/$controller"
		mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
	done
	mkdir /sys/fs/cgroup/unified
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
	;;
*) mount -t cgroup2 cgroup2 /sys/fs/cgroup ;;
esac

for module in /lib/modules/*.ko; do
	if [ -e "$module" ]; then insmod "$module" || echo "init: insmod $module failed"; fi
done

suite=$(parameter syva.suite)
# The second serial port carries result lines and nothing else.
stty -F /dev/ttyS1 raw -echo
SYVA_RESULTS=/dev/ttyS1 RUST_BACKTRACE=1 syva-guest run "$suite"
echo "init: suite $suite ended with status $?"
poweroff -f
