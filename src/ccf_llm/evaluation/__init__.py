"""How good the scores are: metrics, slices, intervals over users, and the report."""

from ccf_llm.evaluation.metrics import auc, calibration_error, log_loss, ndcg_at_k, recall_at_k, uauc
from ccf_llm.evaluation.rating import Evaluation, evaluate
from ccf_llm.evaluation.slices import slices

__all__ = [
    "Evaluation",
    "auc",
    "calibration_error",
    "evaluate",
    "log_loss",
    "ndcg_at_k",
    "recall_at_k",
    "slices",
    "uauc",
]
