"""A dataset from a real PostgreSQL: password by secret, version query, types, and messages without the password."""

from types import SimpleNamespace

import pytest

from mlops.core.errors import Refused, Unavailable
from mlops.kinds.dataset.checking import Rules, check
from mlops.kinds.dataset.specs import Column
from mlops.world.secrets import EnvironmentSecrets
from mlops.world.tables import PandasTables, observe_query


@pytest.fixture(scope="module")
def port(postgres_server):
    """Give the port of a server whose user `reader` has the password `hunter2`."""
    return postgres_server.port


QUERY = """
select 1 as id, 2.50::numeric as amount, true as good, date '2024-01-31' as day, timestamptz '2024-01-31 10:00+02' as at, '5%' as rate
union all select 9007199254740993, null, false, null, null, null order by id
"""


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_SECRET_DB", "hunter2")
    return SimpleNamespace(root=tmp_path, secrets=EnvironmentSecrets())


def _source(port, **more):
    return {"query": QUERY, "url": f"postgresql+psycopg://reader@127.0.0.1:{port}/postgres", "secret": "db", **more}


def test_a_query_gives_rows_that_become_typed_columns(world, port):
    frame = PandasTables().read(_source(port, version="select count(*) from pg_namespace where nspname like 'pg_cat%'"), world)
    assert frame.attrs["observed"] == 1
    types = {"id": "int", "amount": "float", "good": "bool", "day": "datetime", "at": "datetime", "rate": "category"}
    columns = {name: Column(type=sort, nullable=True) for name, sort in types.items()}
    checked = check(frame, Rules(columns, "forbid", (), None))
    assert checked.problems == []
    assert checked.frame["id"].tolist() == [1, 2**53 + 1]
    assert checked.frame["at"].astype(str).tolist()[0] == "2024-01-31 08:00:00"
    assert check(frame, Rules(None, "forbid", (), None)).inferred == {**types, "rate": "string"}


def test_a_wrong_password_and_a_wrong_query_are_told_apart_and_show_no_secret(world, port, monkeypatch):
    with pytest.raises(Refused, match='relation "nowhere" does not exist'):
        PandasTables().read(_source(port, query="select * from nowhere"), world)
    with pytest.raises(Refused, match=r"source\.version"):
        observe_query(_source(port, version="select hunter2"), world)
    monkeypatch.setenv("MLOPS_SECRET_DB", "swordfish")
    with pytest.raises(Unavailable, match="password authentication failed") as error:
        PandasTables().read(_source(port), world)
    assert "swordfish" not in error.value.message


def test_a_query_cannot_change_the_database(world, port):
    with pytest.raises(Refused, match="returns no rows"):
        PandasTables().read(_source(port, query="create table a (b integer)"), world)
    with pytest.raises(Refused, match="does not exist"):
        PandasTables().read(_source(port, query="select * from a"), world)
