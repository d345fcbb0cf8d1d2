"""Asks a server by the published clients and prints what they were told; run by `public_clients` in an environment of its own.

Triton's and KServe's clients cannot live in one process, because both register the messages of gRPC: `client_program.py triton|kserve`.
"""

import asyncio
import importlib
import json
import sys

import numpy as np


def by_triton(form, question):
    """Ask by Triton's client for HTTP or for gRPC."""
    module = importlib.import_module(f"tritonclient.{form}")
    name, is_http = question["name"], form == "http"
    client = module.InferenceServerClient(question[form])
    told = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model ready": client.is_model_ready(name),
        "version ready": client.is_model_ready(name, "1"),
        "server": as_dict(client.get_server_metadata(), is_http),
        "model": as_dict(client.get_model_metadata(name, "1"), is_http),
        "index": indexed(client),
    }
    rows = np.array(question["rows"])
    tensor = module.InferInput("input", list(rows.shape), "FP64")
    for sent in ("binary", "json") if is_http else ("binary",):
        options = {"binary_data": sent == "binary"} if is_http else {}
        tensor.set_data_from_numpy(rows, **options)
        outputs = [module.InferRequestedOutput(output, **options) for output in ("predict", "predict_proba")]
        result = client.infer(name, [tensor], outputs=outputs, request_id="7")
        told[sent] = {output: result.as_numpy(output).tolist() for output in ("predict", "predict_proba")}
    client.unload_model(name)
    told["unloaded"] = [client.is_model_ready(name), indexed(client)[0][2] in ("UNLOADING", "UNAVAILABLE")]
    try:
        client.infer(name, [tensor])
    except Exception as error:  # noqa: BLE001 - each client has its own
        told["refused"] = str(error)
    client.load_model(name)
    told["loaded"] = [client.is_model_ready(name), client.infer(name, [tensor]).as_numpy("predict").tolist()]
    client.close()
    return told


def as_dict(answer, is_http):
    """Return an answer as JSON, of whichever client."""
    if is_http:
        return answer
    from google.protobuf import json_format

    return json_format.MessageToDict(answer, preserving_proto_field_name=True)


def fields_of(module):
    """Return name, number and type of the fields of each message that a client has, also of those inside others."""
    found, left = {}, list(importlib.import_module(module).DESCRIPTOR.message_types_by_name.values())
    while left:
        message = left.pop()
        left += message.nested_types
        found[message.full_name] = [[field.name, field.number, field.type, field.label] for field in message.fields]
    return found


def indexed(client):
    """Return name, version and state of each model."""
    index = client.get_model_repository_index()
    if not isinstance(index, list):
        return [[each.name, each.version, each.state] for each in index.models]
    return [[each["name"], each["version"], each["state"]] for each in index]


def kserve_request(question, *, is_raw):
    """Return rows as KServe's client sends them."""
    import kserve

    rows = np.array(question["rows"])
    tensor = kserve.InferInput("input", list(rows.shape), "FP64")
    tensor.set_data_from_numpy(rows, binary_data=is_raw)
    return kserve.InferRequest(question["name"], [tensor], request_id="7")


def outputs_of(response):
    """Return the outputs of KServe's answer by name."""
    return {output.name: output.as_numpy().tolist() for output in response.outputs}


async def by_kserve_rest(question):
    """Ask by KServe's client for HTTP, with its protocols V2 and V1."""
    from kserve.inference_client import InferenceRESTClient, RESTConfig

    url, name = f"http://{question['http']}", question["name"]
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    told = {
        "live": await client.is_server_live(url),
        "ready": await client.is_server_ready(url),
        "model ready": await client.is_model_ready(url, name),
    }
    for form in ("binary", "json"):
        told[form] = outputs_of(await client.infer(url, kserve_request(question, is_raw=form == "binary"), model_name=name))
    old = InferenceRESTClient(RESTConfig(protocol="v1"))
    told["v1 ready"] = await old.is_model_ready(url, name)
    told["v1"] = (await old.infer(url, {"instances": question["rows"]}, model_name=name))["predictions"]
    return told


async def by_kserve_grpc(question):
    """Ask by KServe's client for gRPC."""
    from kserve.inference_client import InferenceGRPCClient

    client = InferenceGRPCClient(question["grpc"])
    told = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model ready": await client.is_model_ready(question["name"]),
    }
    for form in ("binary", "json"):
        told[form] = outputs_of(await client.infer(kserve_request(question, is_raw=form == "binary")))
    await client.close()
    return told


def main(clients):
    """Ask by every client of one publisher."""
    question = json.loads(sys.stdin.read())
    if clients == "triton":
        told = {form: by_triton(form, question) for form in ("http", "grpc")}
        told["messages"] = fields_of("tritonclient.grpc.service_pb2")
    else:
        told = {"http": asyncio.run(by_kserve_rest(question)), "grpc": asyncio.run(by_kserve_grpc(question))}
        told["messages"] = fields_of("kserve.protocol.grpc.grpc_predict_v2_pb2")
    print(json.dumps(told))  # noqa: T201 - what the test reads


main(sys.argv[1])
