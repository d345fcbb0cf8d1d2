"""Mutants worth killing (design.md section 8): each breaks one law of the engine or the store, and names the test that sees it.

`make mutants` runs each against its killer, and where that lets it live against the whole suite; survivors make it fail.
`tests/lifecycle/test_mutants.py` runs each against its killer alone; the first six, those of design.md, in every run of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "-q",
    "-x",
    "--tb=no",
    "-rfE",
    "-m",
    "not soak",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
)


@dataclass(frozen=True)
class Mutant:
    """One line of the package, broken."""

    name: str
    file: str  # below mlops/
    before: str
    after: str
    killer: str  # the cheapest test that must fail


LISTED = 6  # the first ones are those that design.md section 8 lists
MUTANTS = (
    Mutant(
        "deletes do not wait for those who read",
        "engine/staging.py",
        "*readers.get(step.address, ())",
        "",
        "engine/test_planning.py::test_what_is_no_longer_desired_goes_after_those_that_read_it[sqlite]",
    ),
    Mutant(
        "upstream outputs are not mixed into the key",
        "core/ops.py",
        "[values.get(read) for read in reads]",
        '[values.get(read) for read in reads if not read.startswith("output:")]',
        "engine/test_planning.py::test_a_changed_field_changes_its_readers_on_condition[sqlite]",
    ),
    Mutant(
        "no intent is written before a kept thing is made",
        "engine/applying.py",
        "record = self.intent(step)",
        "record = None",
        "engine/test_planning.py::test_a_thing_that_was_begun_and_is_no_longer_wanted_is_taken_away",
    ),
    Mutant(
        "outputs are not committed",
        "engine/applying.py",
        "StepRecord(key, values, outcome.outputs,",
        "StepRecord(key, values, {},",
        "engine/test_explaining.py::test_it_says_from_whom_outputs_could_be_reused",
    ),
    Mutant(
        "what is half-done is marked ready",
        "engine/applying.py",
        "return replace(before, steps=done, complete=False)",
        "return replace(before, steps=done)",
        "engine/test_plan_options.py::test_an_interrupted_replacement_leaves_nothing_behind_even_when_it_is_taken_back",
    ),
    Mutant(
        "a cosmetic change is ignored",
        "engine/planning.py",
        "record.complete and record.digest == resource.digest",
        "record.complete",
        "engine/test_planning.py::test_a_cosmetic_change_is_recorded_and_runs_nothing[sqlite]",
    ),
    Mutant(
        "a failed step does not stop its followers",
        "engine/applying.py",
        "return all(self.outcomes[before].status in _GOOD for before in step.after)",
        "return True",
        "engine/test_planning.py::test_a_failure_drops_what_depends_on_it_and_nothing_else[sqlite]",
    ),
    Mutant(
        "what another hand changed is not seen by a saved plan",
        "engine/checking.py",
        "if _version(state, address) not in (version, so_far.written.get(address, version))",
        "if False",
        "engine/test_plan_files.py::test_another_hand_between_two_applies_of_one_plan_is_seen",
    ),
    Mutant(
        "what a saved plan has done is done again",
        "engine/applying.py",
        "if step.id in self.hands.done:",
        "if False:",
        "engine/test_plan_files.py::test_steps_without_a_condition_are_not_done_twice_by_the_same_plan",
    ),
    Mutant(
        "its own half-done act counts as another hand's",
        "engine/checking.py",
        " or address in so_far.begun",
        "",
        "engine/test_plan_files.py::test_a_crash_between_an_act_and_its_end_is_no_other_hand",
    ),
    Mutant(
        "an input is not observed again",
        "engine/checking.py",
        "    if before == after:\n        return\n",
        "    return\n",
        "engine/test_plan_files.py::test_a_saved_plan_is_refused_when_a_file_that_it_read_is_another_now",
    ),
    Mutant(
        "names are mixed into keys",
        "core/ops.py",
        '"op": bind(data, places)',
        '"op": data',
        "engine/test_plan_options.py::test_a_rename_without_a_word_makes_nothing_anew_since_names_are_in_no_key",
    ),
    Mutant(
        "what is excluded goes without its dependants",
        "engine/choosing.py",
        "found = dependants(exclude, ",
        "found = set(exclude) & dependants(exclude, ",
        "engine/test_plan_options.py::test_what_is_excluded_stays_out_with_all_that_depends_on_it",
    ),
    Mutant(
        "protection goes with the file",
        "engine/guarding.py",
        "return record.protected if resource is None else",
        "return False if resource is None else",
        "engine/test_plan_options.py::test_protection_outlives_the_file_that_asked_for_it",
    ),
    Mutant(
        "an interrupted replacement is not swept",
        "engine/staging.py",
        "return not record.complete or (",
        "return (",
        "engine/test_plan_options.py::test_an_interrupted_replacement_leaves_nothing_behind_even_when_it_is_taken_back",
    ),
    Mutant(
        "a verdict is not asked for",
        "engine/applying.py",
        "if When.PASSED in step.when and (refused := self.refused(step)):",
        "if False and (refused := self.refused(step)):",
        "engine/test_planning.py::test_a_verdict_that_is_not_passed_blocks_and_leaves_the_old_thing[sqlite]",
    ),
    Mutant(
        "drift is not seen",
        "engine/drafting.py",
        "found.value if found is not None else None,",
        "None,",
        "engine/test_planning.py::test_what_is_kept_and_was_changed_outside_is_restored[sqlite]",
    ),
    Mutant(
        "a lost lease still writes",
        "stores/sql.py",
        "(lease.environment, lease.token)).rowcount != 1:",
        "(lease.environment, lease.token)).rowcount == 7:",
        "engine/test_leases.py::test_a_run_that_was_asleep_finds_its_lease_lost_begins_nothing_more_and_writes_nothing[sqlite]",
    ),
    Mutant(
        "two that see the same free lease both take it",
        "stores/sql.py",
        "took.rowcount != 1",
        "took.rowcount == 7",
        "stores/test_sql.py::test_of_two_processes_that_see_the_same_free_lease_one_wins[postgresql]",
    ),
    Mutant(
        "a lease that was broken is still proved",
        "stores/sql.py",
        "token = token + 1, expires = since",
        "expires = since",
        "stores/test_sql.py::test_a_broken_lease_fences_its_holder_off_and_the_journal_says_so[sqlite]",
    ),
    Mutant(
        "a stall before an act is not noticed",
        "engine/applying.py",
        ".total_seconds() > HEARTBEAT:",
        ".total_seconds() < 0:",
        "engine/test_leases.py::test_after_a_stall_of_the_database_nothing_is_done_unless_the_lease_is_still_ours[sqlite]",
    ),
    Mutant(
        "the lease is not renewed",
        "engine/holding.py",
        "self._hands.lease = self._insist(partial(self._hands.store.renew, self._hands.lease))",
        "pass",
        "engine/test_leases.py::test_while_a_step_runs_for_minutes_the_lease_is_renewed_and_nobody_else_gets_it[sqlite]",
    ),
    Mutant(
        "a failed commit is not rolled back",
        "stores/databases.py",
        "            with suppress(*self.errors):  # a lost connection has nothing left to roll back\n                self.connection.rollback()\n            raise",
        "            raise",
        "stores/test_sql.py::test_a_failed_transaction_leaves_nothing[sqlite]",
    ),
    Mutant(
        "a read is not of one moment",
        "stores/sql.py",
        "        with self._database.transaction(self._database.reading):\n            records",
        "        if True:\n            records",
        "stores/test_sql.py::test_a_read_is_of_one_moment_while_another_process_writes[sqlite]",
    ),
    Mutant(
        "the state of another project is taken",
        "stores/sql.py",
        "row is not None and row[0] != project",
        "row is None and project == ''",
        "stores/test_sql.py::test_the_state_of_another_project_is_refused[sqlite]",
    ),
    Mutant(
        "the records are not brought up to date",
        "stores/sql.py",
        "self._put([row for row in records.values() if row is not None])",
        "self._put([])",
        "stores/test_sql.py::test_records_are_read_as_they_were_written_with_the_sequence_as_version[sqlite]",
    ),
    Mutant(
        "what is gone is reused by an apply",
        "engine/applying.py",
        "self.hold.realised(sorted(asked))",
        "self.hands.store.realised(sorted(asked))",
        "engine/test_reusing.py::test_a_key_that_is_known_only_at_its_turn_is_reused_while_its_artifact_is_here_and_else_made_anew",
    ),
    Mutant(
        "what was to be reused and is made anew is not shared",
        "engine/applying.py",
        "step.do not in (Do.RUN, Do.REUSE)",
        "step.do is not Do.RUN",
        "engine/test_reusing.py::test_what_was_to_be_reused_and_went_before_the_apply_is_made_anew_and_shared",
    ),
    Mutant(
        "steps that no executor takes are waited for",
        "engine/applying.py",
        "if not chosen and not self.running:",
        "if not chosen and self.running:",
        "engine/test_reusing.py::test_a_step_that_no_executor_takes_fails_and_the_apply_ends",
    ),
    Mutant(
        "a lost answer to a commit is taken for a failed one",
        "stores/sql.py",
        "self._committed(lease.environment) if self._is_in_doubt else None",
        "None",
        "stores/test_postgres_state.py::test_a_write_whose_connection_breaks_is_written_once[only its answer was lost]",
    ),
    Mutant(
        "a lost connection stays lost",
        "stores/databases.py",
        "if self.reopen is not None and self.connection.closed:\n            self.close()",
        "if False and self.reopen is not None:\n            self.close()",
        "stores/test_postgres_state.py::test_an_apply_goes_on_under_its_token_when_the_server_was_restarted_in_the_middle",
    ),
    Mutant(
        "a database is waited for longer than the lease lasts",
        "engine/holding.py",
        "if left <= 0 or",
        "if left <= -600 or",
        "stores/test_postgres_state.py::test_a_server_that_goes_away_in_the_middle_of_an_apply_is_told_and_the_next_apply_goes_on",
    ),
)


def break_package(mutant: Mutant, folder: Path) -> None:
    """Write a copy of the package with the mutant's line in it; compiled files of all other lines still fit."""
    shutil.copytree(ROOT / "mlops", folder / "mlops")
    path = folder / "mlops" / mutant.file
    source = path.read_text()
    if source.count(mutant.before) != 1:
        message = f"{mutant.name}: its place in {mutant.file} is gone: point it at the code of today"
        raise LookupError(message)
    path.write_text(source.replace(mutant.before, mutant.after))


def killers(folder: Path, *tests: str, longest: float = 120) -> list[str]:
    """Run tests against the package in the folder; return those that fail, at most one. Not to end in time is to fail."""
    found = [str(ROOT / "tests" / test) for test in tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "HYPOTHESIS_STORAGE_DIRECTORY": str(folder / "hypothesis")}
    try:
        done = subprocess.run(
            [*PYTEST, *found], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=longest
        )
    except subprocess.TimeoutExpired:
        return [f"{' '.join(tests)}, which does not end"]
    if done.returncode not in (0, 1):
        raise LookupError(done.stdout + done.stderr)
    failed = [
        line.partition(" ")[2].partition(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))
    ]
    return [test.rpartition("tests/")[2] for test in failed]


def main() -> None:
    """Print who kills each mutant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants whose names have one of these words")
    words = parser.parse_args().words
    survivors = []
    for mutant in MUTANTS:
        if words and not any(word in mutant.name for word in words):
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            break_package(mutant, Path(folder))
            found = killers(Path(folder), mutant.killer) or killers(Path(folder), "", longest=1800)
        survivors += [] if found else [mutant.name]
        told = f"killed by {found[0]}" if found else "SURVIVES THE WHOLE SUITE"
        sys.stdout.write(f"{mutant.name}\n    {told} in {time.monotonic() - started:.1f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(survivors)} survivors\n")
    sys.exit(bool(survivors))


if __name__ == "__main__":
    main()
