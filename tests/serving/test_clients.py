"""The clients that Triton and KServe publish work unchanged, over HTTP and gRPC, and tell the bits that the model gave."""

import shutil

import pytest

from mlops.serving import grpc_messages

import public_clients


@pytest.fixture(scope="module")
def server(array_folder, start_repository, tmp_path_factory):
    """A repository of one model that may be loaded and unloaded, over HTTP and gRPC."""
    root = tmp_path_factory.mktemp("repository")
    shutil.copytree(array_folder, root / "cancer" / "1")
    return start_repository(root, "--model-control", "explicit", "--grpc", "127.0.0.1:0")


@pytest.fixture(scope="module")
def outputs(cancer):
    """What the estimator itself says of five rows."""
    matrix, estimator, _ = cancer
    return {"predict": estimator.predict(matrix[:5]).tolist(), "predict_proba": estimator.predict_proba(matrix[:5]).tolist()}


@pytest.fixture(scope="module")
def ask(server, cancer):
    """Give the function that asks of five rows by all clients of a publisher."""
    http, grpc = ":".join(map(str, server.address)), server.wait_for("ready")["grpc"]
    return lambda clients: public_clients.ask_all(clients, http, grpc, "cancer", cancer[0][:5].tolist())


def check_messages(published, moved):
    """Hold our messages against those that a client was made with: what both name has one number and one type."""
    for name, message in grpc_messages.message_classes().items():
        theirs = {field[0]: field for field in published.get(f"inference.{name}", [])}
        for field in message.DESCRIPTOR.fields:
            if field.name in theirs and field.name not in moved.get(name, ()):
                label = 3 if field.is_repeated else 1
                assert [field.name, field.number, field.type, label] == theirs[field.name], name
                assert not field.message_type or field.message_type.full_name in published, field.message_type.full_name
    assert "inference.ModelInferRequest" in published


def test_tritons_clients_work_unchanged(ask, outputs):
    """Health, metadata, the index, inference as JSON and as bytes, unload and load."""
    told = ask("triton")
    check_messages(told.pop("messages"), {})
    assert told["http"].pop("json") == outputs
    assert told["http"]["model"]["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 30]}]
    assert told["grpc"]["model"]["inputs"] == [{"name": "input", "datatype": "FP64", "shape": ["-1", "30"]}]
    for found in told.values():
        assert [found[key] for key in ("live", "ready", "model ready", "version ready")] == [True] * 4
        assert "model_repository" in found["server"]["extensions"]
        assert (found["model"]["name"], found["model"]["versions"]) == ("cancer", ["1"])
        assert found["index"] == [["cancer", "1", "READY"]]
        assert found["binary"] == outputs
        assert found["unloaded"] == [False, True]
        assert "model 'cancer' is not loaded" in found["refused"]
        assert found["loaded"] == [True, outputs["predict"]]


def test_kserves_clients_work_unchanged(ask, outputs):
    """Health, inference as JSON and as bytes, and the V1 protocol."""
    told = ask("kserve")
    moved = {
        f"RepositoryModel{verb}Request": {"model_name"} for verb in ("Load", "Unload")
    }  # where Triton has the repository's name
    check_messages(told.pop("messages"), moved)
    assert told["http"].pop("v1 ready") is True
    assert told["http"].pop("v1") == outputs["predict"]
    for found in told.values():
        assert found == {"live": True, "ready": True, "model ready": True, "binary": outputs, "json": outputs}
