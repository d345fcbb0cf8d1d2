"""Stands: the quickstart with its rollout on a real engine, whose versions behave well or badly as a test wants."""

from __future__ import annotations

import os
import signal
import subprocess

from mlops.kinds.container import Container

from engines import IMAGE
from harbour import QUICK, Harbour
from shell import MLOPS, copy_of

WATCHED = {"error_rate": {"max": 0.02, "min_samples": 50}, "interval": 1}
GREEN = {
    "rolling": {"rolling": QUICK},
    "blue_green": {"blue_green": {**QUICK, "steps": [{"weight": 100}, {"analyse": 2}], "analysis": WATCHED}},
    "canary": {"canary": {**QUICK, "steps": [{"weight": 25}, {"pause": 16}], "analysis": WATCHED}},
    "shadow": {
        "shadow": {
            **QUICK,
            "steps": [{"mirror": 50}, {"analyse": 3}],
            "analysis": {"agreement": {"min": 0.3, "min_samples": 20}, "interval": 1},
        }
    },
}
CANARY = """\
serves: container.v1
target: ${target}
replicas: 2
drain: 5
strategy:
  canary: {scale_down_delay: 0, progress_deadline: 30, steps: [{weight: 20}, {pause: 3}, {weight: 50}, {pause: 3}]}
"""


def project_on(rig, folder, images):
    """Return (shell, harbour): the quickstart, its rollout on the engine, and containers that are imported by their images."""
    shell = copy_of("quickstart", folder)
    harbour = Harbour(rig, shell.folder)
    names = Container().outputs(Container.Spec.model_validate({"model": "model.tumours", "base": IMAGE}))
    imports = []
    for version, fault in images.items():
        engine = f'{{host: "{rig.host}"}}'
        shell.write(f"conf/container/{version}.yaml", f"model: model.tumours\nbase: {IMAGE}\nengine: {engine}\n")
        imports.append({"to": f"container.{version}", "outputs": dict.fromkeys(names, harbour.image(version, fault))})
    shell.write("conf/rollout/credit.yaml", CANARY)
    (shell.folder / "conf/rollout/tumours.yaml").unlink()
    proxy = f'{{image: "{IMAGE}"}}'
    shell.write(
        "conf/target/docker.yaml",
        f'type: docker\nengine: {{host: "{rig.host}"}}\nhost: {rig.address}\nport: {harbour.port}\nproxy: {proxy}\n',
    )
    shell.write("conf/config.yaml", f"defaults: [target: docker, _self_]\nproject: {harbour.project}\nimport: {imports}\n")
    return shell, harbour


def killed_apply(shell, seconds, *words):
    """Begin an apply, and kill it without a chance to tidy up; return whether it was killed, and not done before."""
    process = subprocess.Popen(
        [MLOPS, "-C", shell.folder, "apply", "--yes", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    return process.wait() != 0
