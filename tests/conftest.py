"""One torch thread and no telemetry, as in every stage."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.pop("SURNAMES_ZIP", None)  # a tester's own copy must not decide a test

import torch

torch.set_num_threads(1)
