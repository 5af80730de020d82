"""How good the scores are: metrics, slices, intervals over users, and the report."""

from ccf_llm.evaluation.known import Known
from ccf_llm.evaluation.lists import read_lists, top_lists, write_lists
from ccf_llm.evaluation.metrics import auc, calibration_error, log_loss, ndcg_at_k, recall_at_k, uauc
from ccf_llm.evaluation.ranking import evaluate_lists
from ccf_llm.evaluation.rating import Evaluation, evaluate
from ccf_llm.evaluation.slices import slices

__all__ = [
    "Evaluation",
    "Known",
    "auc",
    "calibration_error",
    "evaluate",
    "evaluate_lists",
    "log_loss",
    "ndcg_at_k",
    "read_lists",
    "recall_at_k",
    "slices",
    "top_lists",
    "uauc",
    "write_lists",
]
