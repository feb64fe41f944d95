"""The disk is full, or fails, under a server that takes spans into an SQLite file."""

import shutil
import subprocess
from pathlib import Path

import pytest
import torture_rig as rig

pytestmark = pytest.mark.slow


def may_mount():
    """Whether this process may mount file systems that only its children see."""
    unshare = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return bool(shutil.which("unshare")) and not subprocess.run(unshare, capture_output=True, check=False).returncode


def may_trace():
    """Whether this process may watch another's system calls."""
    strace = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fdatasync:error=EIO:when=9999", "true"]
    return bool(shutil.which("strace")) and not subprocess.run(strace, capture_output=True, check=False).returncode


@pytest.mark.skipif(not may_mount(), reason="mounting a small disk needs root")
def test_a_full_disk_refuses_until_there_is_space(tmp_path, accept):
    """Another program takes the last of it, and gives it back, again and again."""
    rounds = rig.times(2, 30)
    disk = tmp_path / "disk"
    disk.mkdir()
    # In a mount namespace of its own, so that no mount outlives the test.
    mount = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=192m tmpfs {disk} && exec "$@"', "sh"]
    with rig.serving(f"sqlite:///{disk}/clew.db", tmp_path, before=mount) as server:
        inside = Path(f"/proc/{server.process.pid}/root{disk}")
        with rig.Load(lambda: server.port) as load:
            for _ in range(rounds):
                load.wait_for(5)
                fill(inside)
                load.wait_for_answer("503")
                (inside / "hog").unlink()
            load.wait_for(5)
        accept(f"{rounds} times a full disk", rig.judge(server, load))


def fill(folder):
    """Write until nothing more fits."""
    with (folder / "hog").open("wb", buffering=0) as hog:
        size = 1 << 20
        while size:
            try:
                hog.write(b"x" * size)
            except OSError:
                size //= 2


@pytest.mark.skipif(not may_trace(), reason="making the disk fail needs strace, and the right to trace")
@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_a_disk_that_fails_is_never_acknowledged_over(tmp_path, accept, call):
    """EIO now and then from the system call itself; afterwards the file is killed, opened anew, and whole."""
    bodies = rig.times(60, 2_000)
    url = f"sqlite:///{tmp_path}/clew.db"
    # Far enough from the start that the file is there; then once in so many calls.
    often = "40+31" if call == "fdatasync" else "400+173"
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={call}"]
    strace += ["-e", f"inject={call}:error=EIO:when={often}"]
    with rig.serving(url, tmp_path, before=strace) as server, rig.Load(lambda: server.port) as load:
        load.wait_for_answer("503")
        load.wait_for(bodies)
    with rig.serving(url, tmp_path) as server:
        accept(f"EIO from {call}, {load.answers['503']} refusals", rig.judge(server, load))
