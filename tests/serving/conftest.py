"""A tiny model behind the server: in this process, and as a real one."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

import tiny
from ccf_llm.data.dataset import Dataset
from ccf_llm.model.ccfllm import CCFLLM
from ccf_llm.model.network import CCFNetwork
from ccf_llm.model.saved import DataRecord, ModelInfo
from ccf_llm.serving.app import create_app
from ccf_llm.serving.service import Service
from ccf_llm.serving.settings import ServeSettings
from ccf_llm.serving.store import EventStore
from live import LiveServer

ADMIN = {"X-API-Key": "the-admin"}


@pytest.fixture(scope="session")
def served_model(
    make_network: Callable[..., CCFNetwork],
    tiny_data: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A saved model, whose data set holds the first 250 interactions: nobody has seen everything."""
    folder = tmp_path_factory.mktemp("served")
    tiny.early(tiny_data).save(folder / "data")
    data = DataRecord(name="early", source=str(folder / "data"))
    info = ModelInfo(details=("genres",), dtype="float32", data=data)
    CCFLLM(tiny.stir(make_network()), tiny_data.user_vocabulary, tiny_data.items, info).save(folder / "model")
    return folder / "model"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh store of either kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/events.sqlite"
        return
    server = os.environ.get("CCF_LLM_POSTGRES")
    if server is None:
        pytest.skip("set CCF_LLM_POSTGRES to the URL of a PostgreSQL database; .ci/services.sh starts one")
    engine = sa.create_engine(server)
    schema = f"test_{os.getpid()}_{tmp_path.name.lower()}"
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    yield sa.make_url(server).update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(False)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture
def make_client(served_model: Path, tmp_path: Path) -> Iterator[Callable[..., TestClient]]:
    """A client of an application with the settings given."""
    clients = []

    def make(model: Path = served_model, **settings: object) -> TestClient:
        service = Service(
            model,
            EventStore(f"sqlite:///{tmp_path}/events-{len(clients)}.sqlite"),
            ServeSettings.model_validate(settings),
        )
        client = TestClient(create_app(service), raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def client(make_client: Callable[..., TestClient]) -> TestClient:
    """With time enough for every answer."""
    return make_client(deadline_ms=60_000, admin_key=ADMIN["X-API-Key"])


@pytest.fixture(scope="module")
def live(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server in a process of its own."""
    folder = tmp_path_factory.mktemp("live")
    keys = {"CCF_LLM_ADMIN_KEY": ADMIN["X-API-Key"]}
    with LiveServer(
        served_model, "--store", f"sqlite:///{folder}/events.sqlite", log=folder / "log", environment=keys
    ) as server:
        yield server
