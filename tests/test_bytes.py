"""The same inputs give the same bytes on every x86-64 Linux machine with AVX2, Intel or AMD.

A few updates of each architecture, optimizer and precision in use, and each forecaster that is
fitted without, with what they must leave, to the last bit. A change of the arithmetic shows here
first: print what it gives with `python -m tests.test_bytes`, and renew dvc.lock too.
"""

import hashlib

import numpy as np
import pytest
import torch

from stages import HAS_SHARED_KERNELS
from stages.forecasting.baselines import (
    fit_autoregression,
    fit_direct,
    fit_ets,
    fit_sinusoid,
    fit_theta,
)
from stages.forecasting.forecasters import wrap_model
from stages.forecasting.global_training import train_network
from stages.forecasting.preprocess import cut_series
from stages.forecasting.signals import GeneratedParams, StartParams
from stages.forecasting.train import FORECASTER
from stages.forecasting.train import train as train_forecaster
from stages.forecasting.transform import TransformParams, fit_transform
from stages.models.local_forecaster import LocalForecaster
from stages.models.seasonal_forecaster import SeasonalForecaster
from stages.shared.params import check_params
from stages.shared.tables import Curves
from stages.shared.training_loop import FitParams
from stages.surnames.evaluate import classify_names
from stages.surnames.names import Names, Vocabulary
from stages.surnames.train import ClassifierParams
from stages.surnames.train import train as train_classifier

HAS_AVX2 = HAS_SHARED_KERNELS and torch.backends.cpu.get_cpu_capability() == "AVX2"
SINE = {
    "series": "forecasting",
    "architecture": "sequence_forecaster",
    "order": "in_order",
    "batch": 1,
    "iterations": 12,
    "optimizer": "adam",
    "rate": 0.01,
    "clip_norm": None,
    "seed": 0,
}
CYCLE = {"schedule": "one_cycle", "clip_norm": 1.0, "order": "random", "batch": 4}
CLOSED = {"closed_loop": {"context": 9, "horizon": 9}}
REFINED = {"refine": {"iterations": 6, "batch": 4, **CLOSED}}
TANH = {"cell": "rnn_tanh", "hidden": 10}
FORECASTERS = {
    "carried tanh, adam": SINE | {"network": TANH, "carry_state": True},
    "small first weights": SINE | {"network": TANH | {"init_std": 0.001}, "carry_state": True},
    "closed loop": SINE | CYCLE | CLOSED | {"network": TANH},
    "closed loop, then L-BFGS": SINE | CYCLE | CLOSED | REFINED | {"network": TANH},
    "in float64": SINE | CYCLE | CLOSED | REFINED | {"network": TANH, "precision": "float64"},
    "two relu layers": SINE | {"network": {"cell": "rnn_relu", "hidden": 8, "layers": 2}},
    "gru": SINE | CYCLE | {"network": {"cell": "gru", "hidden": 8}},
    "lstm": SINE | CYCLE | {"network": {"cell": "lstm", "hidden": 8}},
    "echo state": {
        "series": "forecasting",
        "architecture": "echo_state_forecaster",
        "network": {"hidden": 30, "window": 12, "leak": 0.7},
        "fit_readout": {"penalty": 1e-6},
        "seed": 0,
    },
}
WINDOWED = SINE | {
    "architecture": "window_forecaster",
    "network": {"cell": "lstm", "hidden": 24, "window": 12},
}
SLID = {
    "windowed lstm, sgd": WINDOWED | {"optimizer": "sgd"},
    "windowed lstm, L-BFGS": WINDOWED | CYCLE | {"refine": {"iterations": 6, "batch": 8}},
    "direct, adamw": WINDOWED
    | CYCLE
    | {"architecture": "direct_forecaster", "network": {"cell": "gru", "hidden": 8, "lags": 4}}
    | {"optimizer": "adamw", "weight_decay": 0.1},
}
SURNAMES = {
    "sampling": "epochs",
    "balance": 0.5,
    "batch": 8,
    "iterations": 12,
    "rate": 0.01,
    "clip_norm": None,
    "seed": 0,
}
ELMAN = SURNAMES | {
    "architecture": "elman_classifier",
    "network": {"hidden": 16},
    "sampling": "independent",
    "batch": 1,
    "optimizer": "sgd",
}
POOLED = SURNAMES | {
    "architecture": "pooled_classifier",
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "sorted_batches": 3,
}
RECURRENT = {"embedding": 8, "hidden": 16, "bidirectional": False, "dropout": 0.0}
MARKOV = {"num_ngrams": 1024, "longest": 3, "doubt": 2.0, "doubt_per_follower": 1.0}
NGRAM = {"num_buckets": 256, "longest": 3, "dropout": 0.5}
CLASSIFIERS = {
    "elman by hand": ELMAN | {"gradient": "by_hand"},
    "elman, autograd": ELMAN,
    "pooled tanh": POOLED | {"network": RECURRENT | {"cell": "rnn_tanh"}},
    "pooled gru": POOLED
    | {"network": RECURRENT | {"cell": "gru", "bidirectional": True, "dropout": 0.3}},
    "pooled gru, marked": POOLED
    | {"network": RECURRENT | {"cell": "gru", "marked": True, "mean": True}},
    "markov": SURNAMES
    | {"architecture": "markov_classifier", "network": MARKOV | {"sharpness": 0.5}}
    | {"balance": 0.0, "optimizer": "sgd", "rate": 1.0, "gradient": "counting"}
    | {"iterations": 0, "epochs": 1},
    "n-grams": SURNAMES
    | {"architecture": "ngram_classifier", "network": NGRAM, "optimizer": "sgd"}
    | {"momentum": True, "schedule": "one_cycle", "label_smoothing": 0.1},
}
MD5S = {
    "many series": "e164229525a88960e1614393418a7043",
    "ets": "b45f0afcd7d7402c6921d49fa3dd968d",
    "theta": "f893d01bc7ed188526320ab40fca56c2",
    "ridge": "7de294fd6e8311b1d7f81717ff0ee4b7",
    "sinusoid": "6588969eb2b0b889ec6b844fb028a0b8",
    "ar, transformed": "82c66f1ff0afff76843d249d749cfa77",
    "carried tanh, adam": "69feb0f3e7bc633993a972676bc54b34",
    "small first weights": "62d754fca1885178264ce13e899767ba",
    "closed loop": "71fed8f0114b24e649023737a987297f",
    "closed loop, then L-BFGS": "3b93ebf65a68bdfac2bcb287a2be24a1",
    "in float64": "ba80b141008905a3911aba2909fa9925",
    "two relu layers": "bffc9e7a1c6ba1a905120933d6cfb0f2",
    "gru": "efbba19203b855a8b5c8dcae5c188d00",
    "lstm": "471ffad452fbf8cf478bb1a9593ba080",
    "echo state": "58ef6c827c71a68cfe8a1fced99c934b",
    "direct, adamw": "fc6f73d60b2f806853e8bd9786a64d83",
    "windowed lstm, sgd": "2f92db20038b710ec6d1ad1e665060c0",
    "windowed lstm, L-BFGS": "97191927c1d3aee70b8b9f1ac83a847b",
    "elman by hand": "f506b075853e82425454944d13396683",
    "elman, autograd": "20b4460aba43e1cf691ae57827c6abcf",
    "pooled tanh": "7a3084dbc40f612722ca4d82c421b08f",
    "pooled gru": "dbd4be2df3014d5b82c3f14273ff34c0",
    "pooled gru, marked": "ae54b5aef64d028323bacd981a5395ef",
    "markov": "08aa07461dee874c143645dadb36b2c3",
    "n-grams": "44f66c6622688e8bd73340cebf7b087e",
}


def digest(model, curves, *arrays):
    """Md5 of weights, losses, gradient norms and whatever else."""
    content = hashlib.md5(usedforsecurity=False)
    for weight in model.state_dict().values():
        content.update(weight.numpy().tobytes())
    content.update(np.array(curves.loss).tobytes())
    content.update(np.array(curves.gradient_norm, dtype=float).tobytes())
    for array in arrays:
        content.update(array.tobytes())
    return content.hexdigest()


def make_series(window=None, test_points=None):
    times = np.arange(4)[:, None] + 0.2 * np.arange(40)
    params = GeneratedParams(
        points=40,
        step=0.2,
        starts=StartParams(count=4, apart=1.0),
        period=2 * np.pi,
        window=window,
        test_points=test_points,
    )
    return cut_series("waves", params, times, np.sin(times))


def run_forecaster(params, *cut):
    trained = train_forecaster(check_params(params, FORECASTER, "x"), make_series(*cut), "x")
    inputs = torch.from_numpy(make_series().windows.inputs)
    history = inputs.to(next(trained.model.parameters()).dtype)
    with torch.inference_mode():
        forecast = trained.model.forecast(history, 20)
    return digest(trained.model, trained.curves, forecast.numpy())


def run_classifier(params):
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 12, size=60)
    names = Names(generator.integers(0, 26, size=(60, 12)), lengths, np.arange(60) % 3)
    vocabulary = Vocabulary("made", "abcdefghijklmnopqrstuvwxyz", ["A", "B", "C"])
    trained = train_classifier(ClassifierParams.model_validate(params), names, vocabulary, "x")
    answers = classify_names(trained.model.eval(), names.letters, names.lengths)
    return digest(trained.model, trained.curves, answers)


def run_fitted(fit):
    months = np.arange(96.0)
    samples = 50 + months / 4 + 9 * np.sin(months * np.pi / 6) + 3 * np.sin(months**2)
    model = fit(samples)
    forecast = wrap_model(model)(samples[None], 20)
    return digest(model, Curves(), forecast)


def run_transformed(samples):
    params = TransformParams(log=True, difference=[1, 12])
    transform = fit_transform(samples, params, floor=0.0)
    return transform.undo(fit_autoregression(transform.apply(samples)[None], 4))


FITTED = {
    "ets": lambda samples: fit_ets(samples, 12),
    "theta": lambda samples: fit_theta(samples, 12),
    "ridge": lambda samples: fit_direct(samples[None], 24, 12, 0.01),
    "sinusoid": lambda samples: fit_sinusoid(samples[None] - 60, 12.0, True),
    "ar, transformed": run_transformed,
}


def run_panel():
    months = np.arange(60.0)
    panel = [(20 + 9 * n) * np.exp(months / 99 + np.sin(months * n) / 9) for n in (1, 2, 3)]
    network = {"cell": "gru", "hidden": 8, "window": 18, "horizon": 4, "season": 12, "patch": 6}
    recipe = {"iterations": 12, "batch": 8, "rate": 0.01, "clip_norm": 1.0, "seed": 0}
    params = FitParams.model_validate(recipe | {"optimizer": "adamw", "schedule": "one_cycle"})
    model, curves = train_network(panel, network, params, "x")
    theta = SeasonalForecaster([LocalForecaster("theta")], 12)
    answers = [wrap_model(one)(np.stack(panel), 6) for one in (model, theta)]
    return digest(model, curves, *answers)


def run_all():
    window, test_points = 12, 4
    yield "many series", run_panel
    for name, fit in FITTED.items():
        yield name, lambda fit=fit: run_fitted(fit)
    for name, params in FORECASTERS.items():
        yield name, lambda params=params: run_forecaster(params)
    for name, params in SLID.items():
        yield name, lambda params=params: run_forecaster(params, window, test_points)
    for name, params in CLASSIFIERS.items():
        yield name, lambda params=params: run_classifier(params)


@pytest.mark.skipif(not HAS_AVX2, reason="no AVX2, or not Linux on x86-64: bytes differ")
@pytest.mark.parametrize(("name", "run"), list(run_all()))
def test_bytes_are_the_same_on_every_machine(name, run):
    assert run() == MD5S[name]


if __name__ == "__main__":
    for name, run in run_all():
        print(f'    "{name}": "{run()}",')
