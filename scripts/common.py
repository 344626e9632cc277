"""What the scripts in Python share. Not run by itself."""

import os, pathlib, random, signal, socket, subprocess, sys, time


def end_when_told():
    """SIGTERM and a terminal that goes away end a script as Ctrl-C does: what it started first."""
    for told in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(told, lambda number, _: sys.exit(128 + number))


def free_port():
    """A port of loopback that nobody has. It lies below those that the kernel gives to whoever connects, so
    that it is free still when somebody listens there a while later."""
    for port in random.sample(range(12000, 19000), 1000):
        with socket.socket() as bound:
            # As servers do: a connection of before is no reason to fail.
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
    """An environment of its own with these packages from PyPI; its interpreter. Debian has what makes
    one in a package, which is installed where it is missing."""
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
    """Where the newest Postgres of the system's packages has its programs, if there is one."""
    found = pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb")
    found = sorted(found, key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


def as_postgres():
    """Postgres refuses to run as root; the package brings this user."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]


def end_group(process, patience=10):
    """Ends everything that a process started in a session of its own has left, and waits for it."""
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
    """Whether anybody of its group does; who has ended and was not asked for does not."""
    process.poll()
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(group) == process.pid and state not in "ZX":
            return True
    return False
