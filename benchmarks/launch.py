"""Run a command and print its wall and CPU seconds and its peak memory as the last line.

A process of its own, with the standard library alone: Linux counts the memory of the process that
starts a command as the command's, and the bench itself has loaded torch.
"""

import json
import os
import subprocess
import sys
import time

KIB_PER_MIB = 1024
BYTES_PER_MIB = 2**20


def main(command: list[str]) -> int:
    """Run it; returns its exit status."""
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    per_mib = BYTES_PER_MIB if sys.platform == "darwin" else KIB_PER_MIB
    measured = {
        "seconds": seconds,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "mebibytes": usage.ru_maxrss / per_mib,
    }
    print(json.dumps(measured))
    process.returncode = os.waitstatus_to_exitcode(status)  # or it would be waited for again
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
