"""Threads of libraries that load inside the block are held, too: in a cold worker everything does."""

import json
import subprocess
import sys

PROGRAM = """
import json
from mlops.kinds.model.pinning import pinned
with pinned(1):
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_info
    print(json.dumps({each["internal_api"]: each["num_threads"] for each in threadpool_info()}))
"""


def test_a_cold_process_computes_with_the_declared_number_of_threads():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {"openmp", "openblas"} <= set(found)
    assert set(found.values()) == {1}
