"""The door `packages` tells what a step would run with: versions of packages, of what they require, and of Python."""

from __future__ import annotations

import sys
from importlib.metadata import version

import pytest

from mlops.core.errors import Refused
from mlops.core.settings import Allow
from mlops.core.worlds import Place, Request
from mlops.world import packages
from mlops.world.doors import Doors


def distribution(folder, name, requires=(), number="1.0"):
    """Install a distribution without code."""
    path = folder / f"{name.replace('-', '_')}-{number}.dist-info"
    path.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}", *(f"Requires-Dist: {each}" for each in requires)]
    (path / "METADATA").write_text("\n".join([*lines, "", "Requires-Dist: not-a-header"]))


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty place for distributions, first on the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    packages.closure.cache_clear()
    yield tmp_path
    packages.closure.cache_clear()


def test_a_package_comes_with_what_it_requires_and_python():
    """A package comes with what it requires, at the installed versions, and with the minor version of Python."""
    found = packages.closure(frozenset({"scikit-learn"}))
    assert found["python"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert {name: found[name] for name in ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl")} == {
        name: version(name) for name in ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl")
    }
    assert "pandas" not in found


def test_markers_are_evaluated_and_extras_left_out(site):
    """Requirements for other systems and those of extras are left out, also where such a package is installed."""
    requires = [
        "Plain_One>=2",
        'here; python_version >= "3"',
        'windows; sys_platform == "win32"',
        "extra-one; extra == 'all'",
        'extra-two (>=1) ; python_version >= "3" and extra == "all"',
        'absent; python_version >= "3"',
    ]
    distribution(site, "top", requires)
    distribution(site, "plain-one", ["circle"], "2.5")
    distribution(site, "circle", ["top"])
    distribution(site, "here", ["below[extra]~=1.0"])
    for name in ("windows", "extra-one", "extra-two", "below"):
        distribution(site, name)
    found = dict(packages.closure(frozenset({"Top"})))
    del found["python"]
    assert found == {"top": "1.0", "plain-one": "2.5", "circle": "1.0", "here": "1.0", "below": "1.0"}


def test_a_module_stands_for_the_package_that_has_it():
    """Where a name is that of a module, its package is meant."""
    assert packages.closure(frozenset({"sklearn"})) == packages.closure(frozenset({"scikit-learn"}))


def test_a_package_that_is_not_installed_is_refused_with_what_to_do(tmp_path):
    """A package that is not installed is an answer that says how to get it."""
    world = Doors(Place(str(tmp_path), "demo", "dev", Allow()))
    (answer,) = world.observe([Request("packages", {"names": ["lightgbmm"]})])
    assert isinstance(answer, Refused)
    assert answer.message == "the package 'lightgbmm' is not installed"
    assert answer.hint == "install it where mlops runs: pip install lightgbmm"


def test_optional_packages_are_told_where_they_are_installed(site):
    """What a step only uses where it is there enters its key from the day it is installed, and not before."""
    distribution(site, "needed")
    distribution(site, "wanted", ["below"])
    distribution(site, "below")
    arguments = {"names": ["needed"], "optional": ["wanted", "absent"]}
    assert set(packages.observe(arguments, None).value) == {"needed", "wanted", "below", "python"}
