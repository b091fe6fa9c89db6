"""A real Slurm of one node on loopback, with everything it owns in one folder."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

CONF = """
ClusterName=vitreous
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctl_port}
SlurmdPort={d_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={dir}/munge/socket
CredType=cred/munge
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SchedulerParameters=sched_interval=1,batch_sched_delay=0,defer_batch=0
SchedulerTimeSlice=5
KillWait=5
MinJobAge=300
MessageTimeout=10
SlurmctldTimeout=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Slurm:
    """Starts and stops the daemons; `environ` leads every Slurm command to them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environ = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._children = []

    def start(self):
        self.folder.mkdir(mode=0o755, parents=True)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self._start_munge()
        text = CONF.format(
            host=socket.gethostname().partition(".")[0],
            dir=self.folder,
            cpus=os.cpu_count(),
            ctl_port=_free_port(),
            d_port=_free_port(),
        )
        (self.folder / "slurm.conf").write_text(text)
        self._spawn("/usr/sbin/slurmctld", "-D", "-i")
        self._spawn("/usr/sbin/slurmd", "-D")
        self._wait_until_idle()

    def stop(self):
        for child in reversed(self._children):
            child.send_signal(signal.SIGTERM)
        for child in reversed(self._children):
            try:
                child.wait(timeout=5)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def run(self, *words):
        return subprocess.run(
            words, env={**os.environ, **self.environ}, capture_output=True, text=True, timeout=20
        )

    def _start_munge(self):
        folder = self.folder / "munge"
        folder.mkdir(mode=0o755)
        key = folder / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for path in (folder, key):
            shutil.chown(path, "munge", "munge")
        self._spawn(
            "/usr/sbin/munged",
            "--foreground",
            "--force",
            f"--key-file={key}",
            f"--socket={folder}/socket",
            f"--pid-file={folder}/pid",
            f"--log-file={folder}/log",
            f"--seed-file={folder}/seed",
            "--num-threads=2",
            user="munge",
        )
        _until((folder / "socket").exists, "munged")

    def _spawn(self, *words, user=None):
        log = (self.folder / f"{Path(words[0]).name}.out").open("wb")
        extra = {}
        if user is not None:
            entry = pwd.getpwnam(user)
            extra = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        with log:
            self._children.append(
                subprocess.Popen(
                    words,
                    env={**os.environ, **self.environ},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    **extra,
                )
            )

    def _wait_until_idle(self):
        def idle():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return "idle" in self.run("sinfo", "-h", "-o", "%T").stdout
            return False

        _until(idle, "slurm", lambda: (self.folder / "slurmctld.log").read_text()[-3000:])


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _until(holds, what, explain=lambda: "", seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"{what} did not come up: {explain()}"
        time.sleep(0.1)
