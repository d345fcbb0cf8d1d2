"""Several models and versions in one server: which one answers, and how they come and go while requests run."""

import json
import os
import shutil
import threading
import time

import numpy as np
import pytest

from mlops.serving import layouts

CONTROL = ("--model-control", "explicit")


def body(a):
    """Return a request of one row."""
    return {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [a]}]}


def answer(server, path, a=10.0):
    """Return the sum and the version that a model answered."""
    reply = server.ask("POST", f"/v2/models/{path}/infer", body(a))
    assert reply.status == 200, reply.body
    assert reply.json["model_version"] == reply.headers["x-mlops-version"]
    return reply.json["outputs"][0]["data"][0], reply.headers["x-mlops-version"]


def states(server):
    """Return the state of each version."""
    index = server.ask("POST", "/v2/repository/index").json
    return {(each["name"], each["version"]): each["state"] for each in index}


@pytest.fixture
def root(tmp_path, write_version):
    """A repository with two versions of one model and one of another."""
    write_version(tmp_path, "9", 0.5)
    write_version(tmp_path, "10", 1.5)
    write_version(tmp_path, "v1", 100, name="hundred")
    return tmp_path


@pytest.fixture
def server(root, start_repository):
    """A replica of it that may be told to load and unload."""
    return start_repository(root, *CONTROL)


def test_every_version_answers_and_the_latest_answers_for_its_model(server):
    """10 comes after 9; each version has paths and metrics of its own; the header names the version that answered."""
    assert answer(server, "adding") == (11.5, "10")
    assert answer(server, "adding/versions/9") == (10.5, "9")
    assert answer(server, "hundred") == (110.0, "v1")
    assert server.ask("POST", "/v1/models/hundred:predict", {"instances": [[1.0]]}).json == {"predictions": [101.0]}
    assert server.ask("GET", "/v2/models/adding").json["versions"] == ["9", "10"]
    assert server.ask("GET", "/v2/models").json == {"models": ["adding", "hundred"]}
    assert states(server) == dict.fromkeys([("adding", "9"), ("adding", "10"), ("hundred", "v1")], "READY")
    assert "x-mlops-version" not in server.ask("GET", "/readyz").headers
    text = server.ask("GET", "/metrics").body.decode()
    assert text.count("# TYPE mlops_requests_total counter") == 1
    for model, version, count in (("adding", "9", 1), ("adding", "10", 1), ("hundred", "v1", 2)):
        assert f'mlops_requests_total{{code="200",model="{model}",track="stable",version="{version}"}} {count}.0' in text


def test_mlflows_path_names_no_model(server):
    """With more than one model `/invocations` cannot mean one, and says so."""
    refused = server.ask("POST", "/invocations", {"inputs": [[1.0]]})
    assert (refused.status, "names no model, and this server has 2" in refused.json["error"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v2/models/other/infer", "there is no model 'other'; this server has 'adding', 'hundred'"),
        ("/v2/models/adding/versions/8/infer", "there is no version '8' of model 'adding'; this server has '9', '10'"),
        ("/v2/repository/models/other/load", "there is no model 'other'; this server has 'adding', 'hundred'"),
        ("/v2/repository/models/other/unload", "there is no model 'other'; this server has 'adding', 'hundred'"),
        ("/v2/repository/models/../load", "there is no model '..'; this server has 'adding', 'hundred'"),
        ("/v2/repository/models/%2e%2e%2Fx/load", "there is nothing at /v2/repository/models/../x/load"),
        ("/v2/repository/models/adding/drop", "there is nothing at /v2/repository/models/adding/drop"),
    ],
)
def test_what_is_not_in_the_repository_is_refused(server, path, message):
    """A name that was not found in the repository's folder is no model, whatever it would be as a path."""
    reply = server.ask("POST", path, {})
    assert (reply.status, reply.json) == (404, {"error": message})


def test_versions_come_and_go_by_request(server, root, write_version):
    """Load takes what is new and drops what is gone; unload takes all back; a model that is not loaded is 404 and stays in the index."""
    write_version(root, "11", 2.5)
    shutil.rmtree(root / "adding" / "9")
    assert answer(server, "adding") == (11.5, "10")
    assert server.ask("POST", "/v2/repository/models/adding/load").status == 200
    assert answer(server, "adding") == (12.5, "11")
    assert server.ask("GET", "/v2/models/adding").json["versions"] == ["10", "11"]
    unloaded = server.ask("POST", "/v2/repository/models/adding/unload", {"parameters": {"unload_dependents": True}})
    assert unloaded.status == 200
    assert server.ask("GET", "/v2/models/adding/ready").status == 404
    refused = server.ask("POST", "/v2/models/adding/infer", body(1.0))
    assert (refused.status, refused.json["error"].split(":")[0]) == (404, "model 'adding' is not loaded")
    assert server.ask("GET", "/v2/health/ready").status == 200
    time.sleep(0.1)
    assert states(server) == {("adding", "10"): "UNAVAILABLE", ("adding", "11"): "UNAVAILABLE", ("hundred", "v1"): "READY"}
    assert [each["name"] for each in server.ask("POST", "/v2/repository/index", {"ready": True}).json] == ["hundred"]
    assert server.ask("POST", "/v2/repository/models/adding/load", {}).status == 200
    assert answer(server, "adding") == (12.5, "11")


def test_a_version_that_cannot_be_loaded_leaves_the_others_as_they_are(server, root, write_version):
    """A broken newcomer is a 400 that says what is wrong; a broken successor leaves the one that serves; the index knows the reason."""
    (write_version(root, "11", 2.5) / "code" / "adding_one.py").write_text("raise RuntimeError('broken')")
    (root / "adding" / "9" / "code" / "adding_one.py").write_text("raise RuntimeError('spoiled')")
    refused = server.ask("POST", "/v2/repository/models/adding/load")
    assert refused.status == 400
    assert "failed to load 'adding'" in refused.json["error"]
    assert "RuntimeError: broken" in refused.json["error"]
    assert "RuntimeError: spoiled" in refused.json["error"]
    assert answer(server, "adding") == (11.5, "10")
    assert answer(server, "adding/versions/9") == (10.5, "9")
    index = {each["version"]: each for each in server.ask("POST", "/v2/repository/index").json if each["name"] == "adding"}
    assert (index["11"]["state"], "broken" in index["11"]["reason"]) == ("UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("models/adding/load", {"parameters": {"config": "{}"}}, "the parameter 'config' is not taken"),
        ("models/adding/load", {"parameters": {"file:1/model.py": "eA=="}}, "the parameter 'file:1/model.py' is not taken"),
        ("models/adding/load", b"{", "not JSON"),
        ("models/adding/unload", {"parameters": 3}, "does not follow the model repository extension"),
        ("index", {"ready": "yes"}, "does not follow the model repository extension"),
    ],
)
def test_what_would_change_a_model_over_the_network_is_refused(server, path, content, message):
    """No file and no configuration comes with a request; what cannot be read is a 400."""
    refused = server.ask("POST", f"/v2/repository/{path}", content)
    assert (refused.status, message in refused.json["error"]) == (400, True)


def test_nothing_is_loaded_by_request_unless_the_operator_allows_it(root, start_repository, start, python_folder):
    """Without --model-control explicit load and unload are 403, of a repository and of a single model."""
    single = start(python_folder)
    assert single.ask("POST", "/v2/repository/models/credit/unload").status == 403
    refused = start_repository(root).ask("POST", "/v2/repository/models/adding/load")
    assert (refused.status, "--model-control explicit" in refused.json["error"]) == (403, True)


def test_a_request_keeps_the_version_it_began_with(server):
    """A prediction that runs is answered by the model that was unloaded meanwhile, which is let go only then."""
    late = []
    thread = threading.Thread(target=lambda: late.append(answer(server, "adding", 1.0)))
    thread.start()
    time.sleep(0.4)
    assert server.ask("POST", "/v2/repository/models/adding/unload").status == 200
    assert states(server)["adding", "10"] == "UNLOADING"
    thread.join()
    assert late == [(2.5, "10")]
    time.sleep(0.1)
    assert states(server)["adding", "10"] == "UNAVAILABLE"


def test_the_index_tells_of_a_version_while_it_is_loaded(server, root, write_version):
    """Loading takes a while, in which the index says so and the other versions answer."""
    code = write_version(root, "11", 2.5) / "code" / "adding_one.py"
    code.write_text(code.read_text().replace("    return Model()", "    time.sleep(2)\n    return Model()"))
    loading = threading.Thread(target=server.ask, args=("POST", "/v2/repository/models/adding/load"))
    loading.start()
    time.sleep(0.5)
    assert states(server)["adding", "11"] == "LOADING"
    refused = server.ask("POST", "/v2/models/adding/versions/11/infer", body(10.0))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert answer(server, "adding") == (11.5, "10")
    loading.join()
    assert states(server)["adding", "11"] == "READY"
    assert answer(server, "adding") == (12.5, "11")


class Asking:
    """Threads that ask for one model and keep what they were told."""

    def __init__(self, server):
        self.server, self.told, self.faults, self.done = server, [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(4)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def ask(self):
        """Ask until told to stop."""
        while not self.done.is_set():
            reply = self.server.ask("POST", "/v2/models/adding/infer", body(10.0))
            if reply.status == 200:
                self.told.append((reply.headers["x-mlops-version"], reply.json["outputs"][0]["data"][0]))
            else:
                self.faults.append(reply.body)


def test_versions_are_swapped_under_traffic_without_a_failed_request(server, root, write_version):
    """While four callers ask, versions come, are rewritten in place and go: no request fails and each answer is of a version there was."""
    with Asking(server) as asking:
        for version, plus in (("11", 2.5), ("12", 3.5), ("12", 4.5), ("13", 5.5)):
            folder = write_version(root, version, plus)
            os.utime(folder / "model.json", ns=(time.time_ns(), time.time_ns()))
            assert server.ask("POST", "/v2/repository/models/adding/load").status == 200
            time.sleep(0.15)
        shutil.rmtree(root / "adding" / "13")
        assert server.ask("POST", "/v2/repository/models/adding/load").status == 200
        time.sleep(0.15)
    assert asking.faults == []
    assert set(asking.told) == {("10", 11.5), ("11", 12.5), ("12", 13.5), ("12", 14.5), ("13", 15.5)}
    assert asking.told[-1] == ("12", 14.5)


def test_only_folders_inside_the_repository_count(tmp_path, write_version):
    """A link that leads outside, a folder without a model and a name that cannot stand in a path are no models."""
    write_version(tmp_path / "elsewhere", "1", 1.0)
    write_version(tmp_path / "root", "1", 1.0, name="good")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere" / "adding")
    (tmp_path / "root" / "good" / "2").symlink_to(tmp_path / "elsewhere" / "adding" / "1")
    (tmp_path / "root" / "good" / "3").symlink_to(tmp_path / "root" / "good" / "1")
    (tmp_path / "root" / "empty" / "1").mkdir(parents=True)
    write_version(tmp_path / "root", "1", 1.0, name=".hidden")
    write_version(tmp_path / "root", "1", 1.0, name="two words")
    found = layouts.repository(tmp_path / "root")()
    assert {name: sorted(versions) for name, versions in found.items()} == {"good": ["1", "3"]}


def test_versions_are_ordered_by_the_numbers_in_them():
    """Numbers count as numbers, wherever they stand."""
    for ordered in (["2", "9", "10"], ["1.9.0", "1.10.0"], ["a", "b"], ["v2", "v10"]):
        assert sorted(np.random.default_rng(0).permutation(ordered).tolist(), key=layouts.by_age) == ordered


def test_a_repository_that_cannot_be_served_is_one_line_and_exit_code_1(program, root, tmp_path):
    """A repository that is missing, and one with a model that does not load."""
    (root / "adding" / "9" / "model.json").write_text(json.dumps({}))
    for arguments, message in (
        (["--repository", tmp_path / "nowhere"], "there is no model repository"),
        (["--repository", root, "--bind", "127.0.0.1:0"], "9/model.json is no manifest of a model"),
    ):
        code, text = program(*arguments)
        lines = [line for line in text.splitlines() if not line.startswith("{")]
        assert (code, len(lines)) == (1, 1), text
        assert message in lines[0]
