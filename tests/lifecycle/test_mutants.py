"""Mutants worth killing (design.md section 8): each breaks one law of the engine, and the tests must see it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

MUTANTS = {
    "deletes do not wait for those who read": (
        "engine/staging.py",
        "*readers.get(step.address, ())",
        "",
    ),
    "upstream outputs are not mixed into the key": (
        "core/ops.py",
        "[values.get(read) for read in reads]",
        '[values.get(read) for read in reads if not read.startswith("output:")]',
    ),
    "no intent is written before a kept thing is made": (
        "engine/applying.py",
        "record = self.intent(step)",
        "record = None",
    ),
    "outputs are not committed": (
        "engine/applying.py",
        "StepRecord(key, values, outcome.outputs,",
        "StepRecord(key, values, {},",
    ),
    "a cosmetic change is ignored": (
        "engine/planning.py",
        "record.complete and record.digest == resource.digest",
        "record.complete",
    ),
    "a failed step does not stop its followers": (
        "engine/applying.py",
        "return all(self.outcomes[before].status in _GOOD for before in step.after)",
        "return True",
    ),
    "what another hand changed is not seen by a saved plan": (
        "engine/checking.py",
        "if _version(state, address) not in (version, so_far.written.get(address, version))",
        "if False",
    ),
    "what a saved plan has done is done again": (
        "engine/applying.py",
        "if step.id in self.hands.done:",
        "if False:",
    ),
    "its own half-done act counts as another hand's": (
        "engine/checking.py",
        " or address in so_far.begun",
        "",
    ),
    "an input is not observed again": (
        "engine/checking.py",
        "    if before == after:\n        return\n",
        "    return\n",
    ),
    "names are mixed into keys": (
        "core/ops.py",
        '"op": bind(data, places)',
        '"op": data',
    ),
    "what is excluded goes without its dependants": (
        "engine/choosing.py",
        "found = dependants(exclude, ",
        "found = set(exclude) & dependants(exclude, ",
    ),
    "protection goes with the file": (
        "engine/guarding.py",
        "return record.protected if resource is None else",
        "return False if resource is None else",
    ),
    "an interrupted replacement is not swept": (
        "engine/staging.py",
        "return not record.complete or (",
        "return (",
    ),
    "a verdict is not asked for": (
        "engine/applying.py",
        "if When.PASSED in step.when and (refused := self.refused(step)):",
        "if False and (refused := self.refused(step)):",
    ),
    "drift is not seen": (
        "engine/drafting.py",
        "found.value if found is not None else None,",
        "None,",
    ),
    "a lost lease still writes": (
        "stores/sql.py",
        "(lease.environment, lease.token)).rowcount != 1:",
        "(lease.environment, lease.token)).rowcount == 7:",
    ),
    "two that see the same free lease both take it": (
        "stores/sql.py",
        "took.rowcount != 1",
        "took.rowcount == 7",
    ),
    "a lease that was broken is still proved": (
        "stores/sql.py",
        "token = token + 1, expires = since",
        "expires = since",
    ),
    "a stall before an act is not noticed": (
        "engine/applying.py",
        ".total_seconds() > HEARTBEAT:",
        ".total_seconds() < 0:",
    ),
    "the lease is not renewed": (
        "engine/applying.py",
        "self.hands.lease = self.hands.store.renew(self.hands.lease)",
        "self.hands.lease = self.hands.lease",
    ),
    "a failed commit is not rolled back": (
        "stores/databases.py",
        "            with suppress(*self.errors):  # a lost connection has nothing left to roll back\n                self.connection.rollback()\n            raise",
        "            raise",
    ),
    "a read is not of one moment": (
        "stores/sql.py",
        "        with self._database.transaction(self._database.reading):\n            records",
        "        if True:\n            records",
    ),
    "the state of another project is taken": (
        "stores/sql.py",
        "row is not None and row[0] != project",
        "row is None and project == ''",
    ),
    "the records are not brought up to date": (
        "stores/sql.py",
        "self._put([row for row in records.values() if row is not None])",
        "self._put([])",
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", MUTANTS)
def test_the_mutant_is_killed(name, tmp_path):
    file, before, after = MUTANTS[name]
    shutil.copytree(ROOT / "mlops", tmp_path / "mlops", ignore=shutil.ignore_patterns("__pycache__"))
    path = tmp_path / "mlops" / file
    source = path.read_text()
    assert source.count(before) == 1, "the mutant's place is gone: point it at the code of today"
    path.write_text(source.replace(before, after))
    tests = [ROOT / "tests" / folder for folder in ("engine", "lifecycle", "stores")]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not soak", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout[-2000:]
    assert "failed" in done.stdout
