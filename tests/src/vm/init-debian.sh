#!/bin/sh
# The first process of a guest with a Debian root: mounts it, puts the programs under test into it with
# a unit that runs one suite, and gives way to systemd.
export PATH=/bin HOME=/root
umask 022

mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1

for module in /lib/modules/*.ko; do
	if [ -e "$module" ]; then insmod "$module" || echo "init: insmod $module failed"; fi
done

for word in $(cat /proc/cmdline); do
	case "$word" in syva.suite=*) suite=${word#*=} ;; esac
done

root=/mnt
mount -t ext4 /dev/vda $root || { echo "init: no root on /dev/vda"; poweroff -f; }
# Not on anyone's PATH: suites install what they test.
for program in /bin/syva-*; do cp "$program" $root/opt/syva-test/; done

mount -t tmpfs -o mode=755 tmpfs $root/run
units=$root/run/systemd/system
mkdir -p $units/multi-user.target.wants
cat >$units/syva-suite.service <<UNIT
[Unit]
Description=Suite $suite
SuccessAction=poweroff-immediate
FailureAction=poweroff-immediate

[Service]
# Not oneshot: the system is up while it runs.
Type=exec
Environment=SYVA_RESULTS=/dev/ttyS1 RUST_BACKTRACE=1
StandardOutput=file:/dev/console
StandardError=file:/dev/console
ExecStartPre=/bin/stty -F /dev/ttyS1 raw -echo
ExecStart=/opt/syva-test/syva-guest run $suite
ExecStopPost=/bin/sh -c '[ "\$SERVICE_RESULT" = success ] || journalctl --boot --no-pager --lines 80 --output cat; echo "init: suite $suite ended: \$SERVICE_RESULT"'
TimeoutStartSec=infinity
TimeoutStopSec=20
LimitMEMLOCK=infinity
UNIT
ln -s ../syva-suite.service $units/multi-user.target.wants/syva-suite.service

umount /proc
mount -o move /dev $root/dev
exec switch_root $root /sbin/init
