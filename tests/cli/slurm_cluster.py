"""A real Slurm on this machine: a controller and one node, with ports, keys and folders of their own; needs root."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import pytest

PROGRAMS = ["slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "munged"]
SETTINGS = """
ClusterName=km
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdTimeout=30
KillWait=1
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=32 RealMemory=1000 Gres=gpu:4 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    """start(), stop(); kill_node() and start_node() in the middle; environment() is for programs that use it."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.running = {}
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir(mode=0o755 if name != "munge" else 0o700)
        self.conf = folder / "slurm.conf"
        ports = [free_port(), free_port()]
        for i in range(4):
            (folder / f"gpu{i}").touch()
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-3]\n")
        self.conf.write_text(SETTINGS.format(host=self.host, folder=folder, ports=ports))

    def environment(self) -> dict[str, str]:
        return {**os.environ, "SLURM_CONF": str(self.conf)}

    def spawn(self, name: str, *words: str) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        self.running[name] = subprocess.Popen([name, *words], env=self.environment(), stdin=subprocess.DEVNULL,
                                              stdout=log, stderr=log, start_new_session=True)  # fmt: skip
        log.close()

    def say(self, *words: str) -> str:
        return subprocess.run(
            words, env=self.environment(), check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def until(self, true, what: str, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, f"{what}; {(self.folder / 'slurmctld.log').read_text()[-2000:]}"
            time.sleep(0.1)

    def state(self) -> str:
        told = subprocess.run(["sinfo", "--noheader", "--format=%T"], env=self.environment(), check=False,
                              capture_output=True, text=True, timeout=60)  # fmt: skip
        return told.stdout.strip()

    def start_munge(self) -> None:
        own = self.folder / "munge"
        (own / "key").write_bytes(os.urandom(128))
        (own / "key").chmod(0o400)
        self.spawn("munged", "--foreground", "--force", f"--key-file={own}/key", f"--socket={own}/socket",
                   f"--pid-file={own}/pid", f"--log-file={own}/log", f"--seed-file={own}/seed")  # fmt: skip
        self.until((own / "socket").exists, "munged does not start")

    def start_controller(self) -> None:
        self.spawn("slurmctld", "-D", "-f", str(self.conf))

    def start_node(self) -> None:
        self.spawn("slurmd", "-D", "-f", str(self.conf), "-N", self.host)

    def start(self) -> None:
        self.start_munge()
        self.start_controller()
        self.start_node()
        self.until(lambda: self.state() in ("idle", "mixed", "allocated"), "the node does not come up")

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        process = self.running.pop(name, None)
        if process:
            process.send_signal(number)
            process.wait(30)

    def kill_node(self) -> None:
        """As when a machine loses its power: slurmd, and all that it started."""
        below = descendants(self.running["slurmd"].pid) + self.steps()
        self.kill("slurmd")
        for pid in below + self.steps():
            kill(pid)

    def lose_node(self) -> None:
        """What the controller finds out by itself after SlurmdTimeout, a minute or five."""
        self.until(lambda: self.state() != "", "the controller does not answer")
        self.say("scontrol", "update", f"NodeName={self.host}", "State=DOWN", "Reason=lost")

    def resume_node(self) -> None:
        """A controller that forgot its jobs drains the node where it finds them: an administrator's word ends that."""
        if "drain" in self.state():
            self.say("scontrol", "update", f"NodeName={self.host}", "State=RESUME")

    def steps(self) -> list[int]:
        """slurmstepd daemons leave slurmd: by the folder that they were given, and what is below them."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            if "slurmstepd" in read(path / "cmdline") and str(self.folder) in read(path / "environ"):
                found += [*descendants(int(path.name)), int(path.name)]
        return found

    def stop(self) -> None:
        if "slurmd" in self.running:
            self.kill_node()
        for name in ("slurmctld", "munged"):
            self.kill(name, signal.SIGTERM)


def read(path: pathlib.Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def descendants(pid: int) -> list[int]:
    children = [
        int(word)
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")
        for word in read(path).split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing or os.geteuid() != 0:
        pytest.skip(
            f"no Slurm to start here: {', '.join(missing) or 'not root'} (scripts/setup --test installs it)"
        )
    running = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
