"""Helpers of the Python scripts. Not run by itself."""

import os, pathlib, random, signal, socket, subprocess, sys, time


def end_when_told():
    """SIGTERM and a lost terminal end a script as Ctrl-C does: its children first."""
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, lambda number, _: sys.exit(128 + number))


def free_port():
    """A free port on loopback. It is below the kernel's range for outgoing connections, so that it is still
    free when a server listens there a while later."""
    for port in random.sample(range(12000, 19000), 1000):
        with socket.socket() as bound:
            # As servers do: an earlier connection is no reason to fail.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("no port is free")


def as_root(*command):
    user = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*user, *command], check=True, stdout=subprocess.DEVNULL)


def venv(folder, *packages):
    """Creates a virtual environment with these packages from PyPI; returns its interpreter. On Debian the
    package for creating one is installed where it is missing."""
    make = [sys.executable, "-m", "venv", "--clear", folder]
    if subprocess.run(make, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
        as_root("apt-get", "update", "-qq")
        as_root("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq", "python3-venv")
        subprocess.run(make, check=True)
    python = pathlib.Path(folder, "bin/python")
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *packages], check=True)
    return python


def postgres_bin():
    """Folder of the programs of the newest installed Postgres package, if any."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = sorted(found, key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def as_postgres():
    """Postgres refuses to run as root; the package creates this user."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]


def end_group(process, patience=10):
    """Ends the remaining processes of a process group, and waits for them."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, kind)
        except ProcessLookupError:
            pass
        end = time.monotonic() + patience
        while lives(process) and time.monotonic() < end:
            time.sleep(0.05)
    process.wait()


def lives(process):
    """Whether a process of its group lives; a zombie does not."""
    process.poll()
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(group) == process.pid and state not in "ZX":
            return True
    return False
