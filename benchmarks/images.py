"""How long an image takes, how large it is, how soon it is ready: `python benchmarks/images.py` with a Docker engine.

MLOPS_TEST_DOCKER names the engine; else one is started. Issue 6 wants at most 250 MB over the base, ready within 2 s, a changed model
within 2 s, and the same id twice. The first image fetches its wheels, the second one in another folder finds them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

import engines
from builds import HOSTILE, LABEL, new_project


def seconds(project, *names, **changes) -> float:
    """Run steps of the container; return the seconds that they took together."""
    started = time.perf_counter()
    project.build(*names, **changes)
    return time.perf_counter() - started


def main() -> None:
    """Print a table."""
    with engines.running() as rig, tempfile.TemporaryDirectory() as folder:
        first, second = (Path(folder, name) for name in ("first", "second"))
        for root in (first, second):
            root.mkdir()
        project = new_project(first, rig.engine)
        rows = [("first image, s", f"{seconds(project):.1f}")]
        rows += [(name, f"{project.facts[name]:,}") for name in ("size", "ready_seconds")]
        shutil.copytree(first / ".mlops/cache", second / ".mlops/cache")
        again = new_project(second, rig.engine)
        rows.append(("the same in another folder, s", f"{seconds(again):.1f}"))
        rows.append(("the same id", str(again.facts["id"] == project.facts["id"])))
        project.fit("other", C=0.01)
        rows.append(("changed model: need, assemble, s", f"{seconds(project, 'need', 'assemble', model='model.other'):.2f}"))
        rows.append(("changed model: load and prove, s", f"{seconds(project, 'prove', model='model.other'):.2f}"))
        client = rig.client()
        for image in client.images.list(filters={"label": [f"{LABEL}={HOSTILE}"]}):
            client.images.remove(image.id, force=True)
        client.close()
    for name, value in rows:
        print(f"{name:34} {value}")


if __name__ == "__main__":
    main()
