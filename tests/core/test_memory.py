"""The memory of a process with many threads."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.support.limits import LIMIT

HASH_IN_MANY_THREADS = """
import sys
import threading
import psutil
from automart.accounts import passwords
from automart.core.memory import return_large_blocks

def used():
    return psutil.Process().memory_info().rss >> 20

def hash_one():
    passwords.verify_password("wrong", None)
    barrier.wait()

passwords.WAITING_SECONDS = limit = int(sys.argv[1])  # the last one waits for all others
return_large_blocks()
passwords.verify_password("wrong", None)  # also hashes what it compares with
before = used()
barrier = threading.Barrier(33, timeout=limit)
threads = [threading.Thread(target=hash_one) for _ in range(32)]
for thread in threads:
    thread.start()
barrier.wait()
print(used() - before)
"""


@pytest.mark.processes
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_threads_that_have_hashed_a_password_keep_no_memory_for_it() -> None:
    command = [sys.executable, "-c", HASH_IN_MANY_THREADS, f"{LIMIT:.0f}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(printed) < 60  # megabytes: two hashes of 19, and 33 threads
