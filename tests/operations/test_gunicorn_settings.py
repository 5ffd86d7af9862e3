"""What `gunicorn.conf.py` makes of where it is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT, clean_environment

CONNECTIONS = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, int(sys.argv[1])))
settings = runpy.run_path(sys.argv[2])
print(settings["worker_connections"], *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("allowed", "connections"), [(400, 256), (1024, 524), (4096, 3596)])
def test_a_process_takes_no_more_connections_than_it_may_open_files(
    allowed: int, connections: int, tmp_path: Path
) -> None:
    program = [sys.executable, "-c", CONNECTIONS, str(allowed), str(ROOT / "gunicorn.conf.py")]
    done = subprocess.run(
        program, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
    )
    assert done.stdout.split() == [str(connections), str(allowed), str(allowed)], done.stderr
