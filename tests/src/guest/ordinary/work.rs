//! What people do in shells: pipelines, a compiler, archives, looking at processes.

use std::fs;

use super::{shell_in, undisturbed};
use crate::daemon::Setup;
use crate::guest::actor::make_cgroup;
use crate::guest::{Checks, Failure};

const HOME: &str = "/srv/work";

/// A name for what is done, and the script that does it in [`HOME`].
const SCRIPTS: &[(&str, &str)] = &[
    (
        "a pipeline of a shell",
        "seq 1 20000 | sort --random-sort | sort --numeric-sort | uniq -c | awk '{ s += $2 } END { print s }' \
         | tee sum | grep --quiet --line-regexp 200010000",
    ),
    (
        "jobs, signals and fifos of a shell",
        "mkfifo queue; (echo one; echo two) >queue & cat queue >read; wait
         sleep 60 & kill -STOP $!; kill -CONT $!; kill $!; wait $! || true
         trap 'echo caught >caught' USR1; kill -USR1 $$; test -s caught
         timeout --signal=KILL 0.2 sleep 60 || true
         (exec 9>lock; flock 9; echo locked) >/dev/null
         diff <(echo same) <(echo same)
         nice -n 5 ionice -c 3 taskset 1 true; ulimit -n 512; renice -n 6 $$ >/dev/null
         cat <<<here >/dev/null",
    ),
    (
        "looking around",
        "ls -la / /proc/self/fd/ >/dev/null; find /etc /usr/share -xdev -type f | wc -l >/dev/null
         stat /srv /srv/web /var/lib/postgresql >/dev/null; df >/dev/null; mount >/dev/null
         id >/dev/null; uname -a >/dev/null; date >/dev/null; env >/dev/null; free >/dev/null
         cat /proc/self/status /proc/cpuinfo /proc/meminfo /proc/self/mountinfo >/dev/null",
    ),
    (
        "archives and links",
        "mkdir -p tree/{a,b}/c; echo text >tree/a/c/file; ln tree/a/c/file tree/b/hard; ln -s ../a tree/b/soft
         tar --create --gzip --file tree.tar.gz tree; mkdir out; tar --extract --file tree.tar.gz -C out
         diff --recursive tree out/tree; mv out/tree/a out/tree/z; cp --archive out/tree copy
         chmod -R go-w copy; touch copy/z/c/file; truncate --size 100 copy/z/c/file; rm -r out copy",
    ),
    (
        "a compiler's build",
        "mkdir -p src; for n in 1 2 3; do echo \"int part$n(void) { return $n; }\" >src/part$n.c; done
         echo '#include <stdio.h>
         int part1(void), part2(void), part3(void);
         int main(void) { printf(\"%d\\n\", part1() + part2() + part3()); return 0; }' >src/main.c
         printf 'main: main.o libparts.a\\n\\tgcc -o $@ main.o libparts.a\\n' >src/Makefile
         printf 'libparts.a: part1.o part2.o part3.o\\n\\tar rcs $@ $^\\n' >>src/Makefile
         make --silent -j2 -C src main CC=gcc; test $(src/main) = 6
         gcc -shared -fPIC -o src/libshared.so src/part1.c src/part2.c src/part3.c
         gcc -o src/linked src/main.c -Lsrc -lshared; test $(LD_LIBRARY_PATH=src src/linked) = 6",
    ),
    (
        "a script that forks, maps, locks and talks to itself",
        "perl -e 'use Socket; use Fcntl qw(:flock); use IPC::SysV qw(IPC_PRIVATE IPC_RMID S_IRUSR S_IWUSR);
             socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die;
             my $id = shmget(IPC_PRIVATE, 4096, S_IRUSR | S_IWUSR) // die;
             shmwrite($id, \"shared\", 0, 6) or die;
             my $pid = fork() // die;
             if (!$pid) { shmread($id, my $got, 0, 6) or die; syswrite($b, $got); exit }
             sysread($a, my $got, 6); waitpid($pid, 0); shmctl($id, IPC_RMID, 0) or die;
             open(my $f, \">>\", \"locked\") or die; flock($f, LOCK_EX) or die;
             die unless $got eq \"shared\" && $? == 0'",
    ),
    (
        "a terminal",
        "cat >typescript.sh <<'END'
         set -eu
         test -t 0; stty size >/dev/null; tty | grep --quiet /dev/pts/
         echo to its own file >$(tty); echo to its own name >/dev/tty; echo anew >/dev/stderr
         mesg n || test $? = 1; (exec 3<>$(tty); echo from a child >&3); setsid sh -c 'exec 3<>$1; echo from elsewhere >&3' - $(tty)
END
         script --quiet --return --command 'bash typescript.sh' typescript </dev/null
         for line in file name anew child elsewhere; do grep --quiet $line typescript; done",
    ),
    (
        "namespaces of its own",
        "unshare --mount --pid --fork --mount-proc --uts --ipc --net sh -c \
         'hostname inside; mount -t tmpfs none /mnt; echo text >/mnt/file; ps >/dev/null; umount /mnt'",
    ),
];

/// In a zone that has claimed where it works.
pub fn run(checks: &mut Checks, core: &Setup) -> Result<(), Failure> {
    fs::create_dir_all(HOME)?;
    let cgroup = make_cgroup("work")?;
    core.done(&["zones", "register", "work", "--host-path", HOME])?;
    let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(&cgroup)?).to_string();
    core.done(&["containers", "attach", "work", "work", "--cgroup-id", &id])?;
    for (what, script) in SCRIPTS {
        undisturbed(checks, core, what, || {
            shell_in(&cgroup, &format!("cd {HOME}\n{script}")).map(drop)
        })?;
    }
    Ok(())
}
