"""The door to secrets."""

import pytest

from mlops.core.errors import Refused
from mlops.world.secrets import EnvironmentSecrets


def test_a_secret_is_the_environment_variable_of_its_name(monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_WAREHOUSE_URL", "x")
    assert EnvironmentSecrets().value("warehouse-url") == "x"


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_is_not_set_is_refused_with_the_name_of_its_variable(monkeypatch, value):
    monkeypatch.delenv("MLOPS_SECRET_A", raising=False)
    if value is not None:
        monkeypatch.setenv("MLOPS_SECRET_A", value)
    with pytest.raises(Refused, match="no secret 'a'") as error:
        EnvironmentSecrets().value("a")
    assert "MLOPS_SECRET_A" in error.value.hint
