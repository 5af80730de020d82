"""Every collaborative model with vectors passes the shared tests; what is special to one stands in its own file."""

from shared_suite import CFModelSuite

from ccf_llm.cf import DIN, MF, DINConfig, LightGCN, LightGCNConfig, MFConfig, SASRec, SASRecConfig

QUICK = {"dim": 8, "learning_rate": 0.02, "batch_size": 64, "max_epochs": 12, "history_length": 10, "l2": 1e-3}


class TestMF(CFModelSuite):
    model_type = MF
    config = MFConfig(**QUICK)


class TestLightGCN(CFModelSuite):
    model_type = LightGCN
    config = LightGCNConfig(**QUICK)


class TestSASRec(CFModelSuite):
    model_type = SASRec
    config = SASRecConfig(**QUICK, blocks=2, heads=2)


class TestDIN(CFModelSuite):
    model_type = DIN
    config = DINConfig(**QUICK, hidden=16)
