"""Layers come out equal wherever and whenever they are written."""

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mlops.kinds.container import layers

SOURCE = "NAMES = {'a', 'b', 'c'}\n\ndef f(x):\n    'Say.'\n    return x in {'one', 'two', 'three'} or f'{x!r} is not {NAMES}'\n"


def folder(path, order):
    for name in order:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (path / "b/run").chmod(0o700)
    return path


def test_order_times_and_masks_do_not_show(tmp_path):
    names = ["a.txt", "b/run", "b/c.txt"]
    one = folder(tmp_path / "one", names)
    mask = os.umask(0o077)
    try:
        two = folder(tmp_path / "two", reversed(names))
    finally:
        os.umask(mask)
    os.utime(two / "a.txt", (1, 1))
    for name, where in (("1.tar", one), ("2.tar", two)):
        layers.write(tmp_path / name, {"opt/x": where})
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    with tarfile.open(tmp_path / "1.tar") as tar:
        found = {entry.name: (entry.mode, entry.uid, entry.gid, entry.mtime) for entry in tar}
    assert found == {
        "opt": (0o755, 0, 0, 0),
        "opt/x": (0o755, 0, 0, 0),
        "opt/x/a.txt": (0o644, 0, 0, 0),
        "opt/x/b": (0o755, 0, 0, 0),
        "opt/x/b/c.txt": (0o644, 0, 0, 0),
        "opt/x/b/run": (0o755, 0, 0, 0),
    }


@pytest.mark.parametrize("name", ["module", "long" * 40])
def test_compiled_modules_are_equal_in_any_process_and_are_used_whatever_the_time_of_the_source(tmp_path, name):
    digests = set()
    for seed in ("1", "2"):
        place = tmp_path / seed
        place.mkdir()
        (place / f"{name}.py").write_text(SOURCE)
        program = "import sys\nfrom pathlib import Path\nfrom mlops.kinds.container import layers\nlayers.compile_below(Path(sys.argv[1]), 'opt/x')"
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])}
        subprocess.run([sys.executable, "-c", program, str(place)], check=True, env=environment)
        [compiled] = place.rglob("*.pyc")
        digests.add(hashlib.sha256(compiled.read_bytes()).hexdigest())
        (place / f"{name}.py").write_text("raise SystemExit('compiled again')")
        asked = f"import {name} as m; print(m.f('one'))"
        said = subprocess.run([sys.executable, "-B", "-c", asked], cwd=place, check=True, capture_output=True, text=True).stdout
        assert said == "True\n"
    assert len(digests) == 1


def test_what_does_not_compile_and_what_is_only_tested_is_left_as_it_is(tmp_path):
    for name in ("template.py", "tests/test_it.py", "fine.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{{ no }} python" if name == "template.py" else "x = 1\n")
    layers.compile_below(tmp_path, "opt")
    assert [path.name.partition(".")[0] for path in tmp_path.rglob("*.pyc")] == ["fine"]
