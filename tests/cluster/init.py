"""Process 1 of the node: makes its mounts, then reaps orphans until it is killed.

Runs on its own (`python -I init.py RUN STATE HOSTNAME`) within fresh mount, network,
process and UTS namespaces. When it dies the kernel ends every process and unmounts
everything in them, so taking the cluster down cannot leave anything behind.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

PRIVATE_FOLDERS = ("/run/containerd", "/run/netns", "/var/lib/cni", "/var/log")
"""Fixed paths that containerd, CNI and the kubelet write to: the node has its own."""

HOST_SYSCTLS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""What a kubelet tunes machine-wide. It gets copies to write to."""


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    run, state, hostname = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    socket.sethostname(hostname)
    _mount("--make-rshared", "/")
    for folder in PRIVATE_FOLDERS:
        _mount("-t", "tmpfs", "-o", "mode=755", "flow-test", folder)
    copies = state / "sysctl"
    for name in HOST_SYSCTLS:
        original, copy = Path("/proc/sys") / name, copies / name.replace("/", ".")
        if original.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(original.read_text())
            _mount("--bind", str(copy), str(original))
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    (run / "node.ready").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


if __name__ == "__main__":
    main()
