"""A real SLURM cluster for tests: munged, slurmctld and several slurmd on the loopback device of this machine.

Nothing of it needs root, systemd or /etc: keys, state, sockets and logs lie in one temporary folder, and the
daemons stay in the foreground as our children. Where the kernel lets us (as root), each node has a host name of
its own, in a namespace, as on a real cluster: then a process number tells nothing about a process elsewhere.

What had to be known, from slurm.conf(5), slurmd(8) and munged(8):

- Several slurmd on one machine need ``-N NAME`` and a port each; ``config_overrides`` makes them believe the
  configured processors rather than count the real ones.
- slurmstepd listens on a Unix socket in the spool folder, and such a path has 107 bytes: the folder is in /tmp.
- A requeued job waits for as long as a credential lives (120 s, unless ``cred_expire`` says less; 5 at least).
- What shall not listen to the world listens at the address that its host name stands for: hence a hosts file of
  the cluster's own, mounted over /etc/hosts for the daemons alone, where namespaces can be had.
- Time limits are looked at every 30 s, and count in minutes.
- slurmstepd outlives a killed slurmd, and its tasks outlive it: a power cut has to find all of them.
"""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests import slurm_accounting
from tests.processes import kill, open_files, processes, read_of, until, with_descendants, with_variable

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
"""Program → Debian package."""
CPUS, MEGABYTES = 2, 2000
"""Of a node, unless it is said to have more: the daemons believe it, whatever the machine has."""
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE"})
"""States that a job does not leave, unless it is requeued."""

_CONF_NAME = "slurm.conf"
_CONF = """\
ClusterName={name}
SlurmctldHost={host}({address})
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
{listen}StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
{accounting}FirstJobId={first_job}
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=10000,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PriorityType=priority/basic
SlurmdParameters=config_overrides
SlurmctldTimeout=10
SlurmdTimeout={patience}
MessageTimeout={patience}
KillWait=5
MinJobAge=600
ReturnToService=2
MaxArraySize={max_array_size}
"""
_NODE = (
    "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} State=UNKNOWN RealMemory={memory} "
    "CPUs={cpus} Boards=1 SocketsPerBoard=1 CoresPerSocket={cpus} ThreadsPerCore=1\n"
)
_PARTITION = "PartitionName={name} Nodes=ALL Default={default} MaxTime=INFINITE DefaultTime=10 State=UP\n"


def what_is_missing() -> str:
    """Why there can be no cluster here, or an empty text."""
    packages = [package for program, package in PROGRAMS.items() if not shutil.which(program, path=PATH)]
    return f"no SLURM here: apt-get install {' '.join(packages)}" if packages else ""


@dataclass(frozen=True, slots=True)
class Job:
    """A job, or one task of an array, as squeue shows it.

    Attributes:
        id: ``12``, or ``12_3`` for a task of an array.
        node: where it runs or ran; empty while it waits.
    """

    id: str
    name: str
    state: str
    node: str


class Cluster:
    """A cluster of ``n1`` to ``nN``; bring it up with :func:`running`.

    Attributes:
        name: ClusterName; names: of the nodes.
        conf: its slurm.conf; clients find the cluster by SLURM_CONF.
        has_host_names: whether each node has a host name of its own, which is then its name.
    """

    def __init__(
        self,
        nodes: int,
        patience: int = 5,
        *,
        name: str = "tests",
        first_job: int = 1,
        max_array_size: int = 1001,
        accounting: bool = False,
        cpus: int = CPUS,
        megabytes: int = MEGABYTES,
        partitions: Sequence[str] = ("main",),
    ) -> None:
        self.name, self._first_job, self._max_array_size = name, first_job, max_array_size
        self._cpus, self._megabytes, self._partitions = cpus, megabytes, tuple(partitions)
        self._keeps_accounts = accounting
        self.folder = Path(tempfile.mkdtemp(prefix="tol-slurm-", dir="/tmp"))
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.conf = self.folder / _CONF_NAME
        self.has_host_names = _may_name_hosts()
        self._patience = patience
        self._guard = _start_guard(self.folder)
        self._controller: subprocess.Popen[bytes] | None = None
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What a user's shell has on this cluster."""
        return {"SLURM_CONF": str(self.conf)}

    def up(self) -> None:
        """Start everything and wait until all nodes are idle."""
        for name in ("munge", "state", "log", *(f"spool/{node}" for node in self.names)):
            (self.folder / name).mkdir(parents=True)
        ports = self._write_conf()
        self._start_munge()
        if self._keeps_accounts:
            slurm_accounting.start(self._start, self.folder, _user(), *ports)
            self.run("sacctmgr", "-i", "add", "cluster", self.name)
        self.start_controller()
        for name in self.names:
            self._nodes[name] = self._start_slurmd(name)
        self._wait_for_nodes(self.names)

    def down(self) -> None:
        """Kill everything and remove the folder."""
        assert self._guard.stdin is not None
        self._guard.stdin.close()  # what the guard waits for
        self._guard.wait(timeout=60)
        for daemon in (self._controller, *self._nodes.values()):
            if daemon is not None:
                daemon.wait(timeout=10)

    def crash_node(self, name: str) -> None:
        """A power cut: SIGKILL for slurmd, its slurmstepds and all their tasks."""
        self.lose_node(name)
        until(f"{name} is dead", lambda: not kill(self.processes_of(name)))

    def lose_node(self, name: str) -> None:
        """What a broken network looks like to the controller: slurmd is gone; the tasks go on."""
        self._nodes[name].kill()
        self._nodes[name].wait()

    def start_node(self, name: str) -> None:
        """Start a node again and wait until the controller has it back."""
        self._nodes[name] = self._start_slurmd(name)
        self._wait_for_nodes([name])

    def stop_controller(self) -> None:
        assert self._controller is not None
        self._controller.terminate()
        self._controller.wait(timeout=30)

    def start_controller(self) -> None:
        self._controller = self._start_named(None, "slurmctld", "-D", "-f", self.conf)
        until("the controller answers", lambda: self._asked("sinfo", "-h").returncode == 0, told=self.told)

    def run(self, *words: object) -> str:
        """Run a command of SLURM that succeeds; what it printed."""
        done = self._asked(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def jobs(self) -> dict[str, Job]:
        """All jobs of the last ten minutes, each task of an array for itself."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%j|%T|%N").splitlines()
        found = [Job(*line.split("|")) for line in lines]
        return {job.id: job for job in found}

    def jobs_of(self, ids: Iterable[str]) -> list[Job]:
        """The jobs with these numbers; of an array: all its tasks."""
        wanted = set(ids)
        return [job for job in self.jobs().values() if job.id.partition("_")[0] in wanted or job.id in wanted]

    def wait_for(self, ids: Iterable[str], seconds: float = 150) -> list[Job]:
        """Wait until jobs are over; how they ended."""
        wanted = tuple(ids)
        until(
            f"jobs {wanted} are over",
            lambda: all(job.state in OVER for job in self.jobs_of(wanted)),
            seconds,
            self.told,
        )
        return self.jobs_of(wanted)

    def mend(self) -> None:
        """Start what a test has left dead, and cancel the jobs that it has left."""
        if self._controller is None or self._controller.poll() is not None:
            self.start_controller()
        for name, node in self._nodes.items():
            if node.poll() is not None:
                self.start_node(name)
        left = {job.id.partition("_")[0] for job in self.jobs().values() if job.state not in OVER}
        if left:
            self.run("scancel", *left)
            self.wait_for(left)

    def told(self) -> str:
        """Jobs, nodes and the end of the controller's log, for the message of a failed test."""
        logs = [self.folder / "log" / "slurmctld.log", *sorted((self.folder / "log").glob("slurmd.*.log"))]
        ends = [f"{log.name}:\n{chr(10).join(log.read_text().splitlines()[-15:])}" for log in logs if log.exists()]
        shown = [
            self._asked(*words).stdout for words in (("squeue", "-a", "-r", "-t", "all"), ("sinfo", "-N", "-l"))
        ]
        return "\n".join([*shown, *ends])

    def _asked(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, words)],
            capture_output=True,
            text=True,
            env=self._daemon_environment(),
            timeout=60,
            check=False,
        )

    def _daemon_environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "TOL_DB", "SBATCH"))}
        return {**kept, "PATH": PATH, "LC_ALL": "C", **self.environment}

    def _start(self, *command: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=self._daemon_environment(),
            start_new_session=True,
        )

    def _start_slurmd(self, name: str) -> subprocess.Popen[bytes]:
        return self._start_named(name, "slurmd", "-D", "-f", self.conf, "-N", name)

    def _start_named(self, host: str | None, *command: object) -> subprocess.Popen[bytes]:
        """Start a daemon that knows the hosts of the cluster, and believes to be on one of them."""
        if not self.has_host_names:
            return self._start(*command)
        script = 'mount --bind "$0" /etc/hosts && { [ -z "$1" ] || hostname "$1"; } && shift && exec "$@"'
        hosts = self.folder / "hosts"
        return self._start("unshare", "--uts", "--mount", "sh", "-c", script, hosts, host or "", *command)

    def _start_munge(self) -> None:
        folder = self.folder / "munge"
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(os.urandom(1024))
        words = [
            f"--{what}={folder / what}" for what in ("socket", "key-file", "pid-file", "log-file", "seed-file")
        ]
        (folder / "key").rename(folder / "key-file")
        # --force: that others may write to /tmp is a warning, not the end
        self._start("munged", "--foreground", "--force", *words)
        until("munged listens", (folder / "socket").exists)

    def _write_conf(self) -> tuple[int, int]:
        """Write slurm.conf; the ports that are left for slurmdbd and MariaDB."""
        host = socket.gethostname().partition(".")[0]
        address = "127.0.0.1" if self.has_host_names else _address_of(host)
        is_hidden = address.startswith("127.")
        *ports, dbd, mariadb = _free_ports(address, len(self.names) + 3)
        keeps, none = (
            slurm_accounting.CONF.format(port=dbd, folder=self.folder),
            "AccountingStorageType=accounting_storage/none\n",
        )
        text = _CONF.format(
            name=self.name,
            accounting=keeps if self._keeps_accounts else none,
            first_job=self._first_job,
            max_array_size=self._max_array_size,
            host=host,
            address=address,
            user=_user(),
            folder=self.folder,
            ports=ports,
            patience=self._patience,
            listen="CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\n" if is_hidden else "",
        )
        for name, port in zip(self.names, ports[1:], strict=True):
            text += _NODE.format(
                name=name, host=host, address=address, port=port, memory=self._megabytes, cpus=self._cpus
            )
        for place, partition in enumerate(self._partitions):
            text += _PARTITION.format(name=partition, default="NO" if place else "YES")
        self.conf.write_text(text)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost {host} {' '.join(self.names)}\n")
        return dbd, mariadb

    def _wait_for_nodes(self, names: Iterable[str]) -> None:
        wanted = set(names)

        def ready() -> bool:
            shown = self._asked("sinfo", "-h", "-N", "-o", "%N %T").stdout.splitlines()
            states = dict(line.split() for line in shown)
            return all(states.get(name) in ("idle", "mixed", "allocated", "completing") for name in wanted)

        until(f"nodes {sorted(wanted)} are ready", ready, told=self.told)

    def processes_of(self, name: str) -> set[int]:
        """The slurmstepds of a node, all below them, and what has left their tree."""
        ours = with_variable("SLURM_CONF", self.conf)
        steps = _steps_of(self.folder, name)
        return with_descendants(steps) | (ours & with_variable("SLURMD_NODENAME", name))


def _steps_of(folder: Path, node: str = "") -> set[int]:
    """The slurmstepds of a node, or of all: by their socket and log, for they overwrite their environment."""
    sockets = {
        f"socket:[{fields[6]}]"
        for line in Path("/proc/net/unix").read_text().splitlines()
        if len(fields := line.split()) > 7 and fields[7].startswith(f"{folder}/spool/{node and node + '/'}")
    }
    log = f"{folder}/log/slurmd.{node and node + '.'}"
    return {
        pid
        for pid in processes()
        if read_of(pid, "comm") == b"slurmstepd\n"
        and any(file in sockets or file.startswith(log) for file in open_files(pid))
    }


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def running(
    nodes: int = 4,
    *,
    name: str = "tests",
    first_job: int = 1,
    max_array_size: int = 1001,
    accounting: bool = False,
    cpus: int = CPUS,
    megabytes: int = MEGABYTES,
    partitions: Sequence[str] = ("main",),
) -> Iterator[Cluster]:
    """A cluster, until the block is left; also when this process is killed within it.

    Args:
        name: ClusterName; first_job: the number of its first job.
        max_array_size: one more than the highest number in an array.
        accounting: whether it keeps accounts (sacct).
        cpus, megabytes: of each node; partitions: the first is the default.
    """
    cluster = Cluster(
        nodes,
        name=name,
        first_job=first_job,
        max_array_size=max_array_size,
        accounting=accounting,
        cpus=cpus,
        megabytes=megabytes,
        partitions=partitions,
    )
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.down()


def _may_name_hosts() -> bool:
    script = "hostname n1 && mount --bind /etc/hosts /etc/hosts"
    try:
        tried = subprocess.run(
            ["unshare", "--uts", "--mount", "sh", "-c", script], capture_output=True, check=False
        )
    except FileNotFoundError:
        return False
    return tried.returncode == 0


def _address_of(host: str) -> str:
    try:
        return socket.gethostbyname(host)
    except OSError:
        return "127.0.0.1"


def _free_ports(address: str, number: int) -> list[int]:
    """Ports that nobody listens at, below those that the kernel hands out to clients."""
    found: list[int] = []
    for port in random.SystemRandom().sample(range(16000, 32000), 2000):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind((address, port))
            found.append(port)
        if len(found) == number:
            return found
    raise AssertionError("no free ports")


def _start_guard(folder: Path) -> subprocess.Popen[bytes]:
    """A process that ends the cluster as soon as our end of its pipe is closed, however that came about."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.slurm_cluster", str(folder)],
        stdin=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        start_new_session=True,
    )


def _guard(folder: Path) -> None:
    sys.stdin.buffer.read()

    def left() -> set[int]:
        return with_descendants(with_variable("SLURM_CONF", folder / _CONF_NAME) | _steps_of(folder))

    until("the cluster is dead", lambda: not kill(left() - {os.getpid()}), 30)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
