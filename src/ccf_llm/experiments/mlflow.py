"""Curves and settings for MLflow; needs the extra `mlflow`."""

from collections.abc import Iterator
from contextlib import contextmanager

from ccf_llm.errors import CCFError, one_line
from ccf_llm.experiments.config import RunConfig, dump_config
from ccf_llm.experiments.curves import Write


@contextmanager
def mlflow_run(uri: str, config: RunConfig) -> Iterator[Write]:
    """What writes points into a run of its own, which has the configuration as `config.yaml`.

    Args:
        uri: a server, or a database such as sqlite:///mlflow.db, which needs more of MLflow than the extra brings.
        config: its name is that of the experiment.
    """
    try:
        import mlflow
    except ImportError:
        raise CCFError("--mlflow: not installed; pip install 'ccf-llm[mlflow]'") from None
    try:
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(config.name)
    except mlflow.MlflowException as error:
        raise CCFError(f"--mlflow {uri}: {one_line(error)}; give a server or a database that is there") from None
    with mlflow.start_run():
        mlflow.log_text(dump_config(config), "config.yaml")
        yield mlflow.log_metric
