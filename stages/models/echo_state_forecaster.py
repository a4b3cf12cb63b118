"""Fixed random recurrent units, and a linear readout that is fitted in closed form."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

_Array = NDArray[np.float64]


class EchoStateForecaster(nn.Module):
    """An echo state network (Jaeger, 2001) that forecasts the sample after a window.

    h_t = (1 - a) h_{t-1} + a tanh(W h_{t-1} + w x_t + b), y_t = readout · [h_t, last samples, 1].
    W, w and b are drawn once and never trained. W has independent uniform entries of variance
    radius² / H: by the circular law its spectral radius tends to `radius` as H grows. Computed
    eigenvalues would differ between processors in their last bits.

    Args:
        hidden: H, size of the state.
        window: input samples, read from a state of zero.
        lags: last samples in the readout beside the state, at most the window; None: the window.
        radius: spectral radius of W.
        input_scale: entries of w are uniform in ± this.
        bias_scale: entries of b are uniform in ± this.
        leak: a; 1: the state depends on the last one by W alone.
    """

    recurrent: Tensor
    inward: Tensor
    bias: Tensor
    bound: Tensor

    def __init__(
        self,
        hidden: int,
        window: int,
        lags: int | None = None,
        radius: float = 0.9,
        input_scale: float = 0.5,
        bias_scale: float = 0.2,
        leak: float = 1.0,
    ) -> None:
        super().__init__()
        lags = window if lags is None else min(lags, window)
        if min(hidden, window) < 1 or lags < 0:
            raise ValueError(
                f"hidden ({hidden}) and window ({window}) must be at least 1, lags ({lags}) 0"
            )
        scales = (radius, input_scale, bias_scale)
        if min(scales) < 0 or max(scales) > 1000 or not 0 < leak <= 1:
            raise ValueError(
                f"radius ({radius}), input_scale ({input_scale}) and bias_scale ({bias_scale}) "
                f"must be from 0 to 1000, leak ({leak}) above 0 and at most 1"
            )
        self.window = window
        self.lags = lags
        self.leak = leak

        def draw(scale: float, *shape: int) -> Tensor:  # uniform in ± scale
            return scale * (2 * torch.rand(shape, dtype=torch.float64) - 1)

        self.register_buffer("recurrent", draw(radius * math.sqrt(3 / hidden), hidden, hidden))
        self.register_buffer("inward", draw(input_scale, hidden))
        self.register_buffer("bias", draw(bias_scale, hidden))
        # a forecast stays within ± bound, so that a closed loop cannot overflow
        self.register_buffer("bound", torch.tensor(1e9, dtype=torch.float64))
        self.readout = nn.Parameter(torch.zeros(hidden + lags + 1, dtype=torch.float64))

    def extra_repr(self) -> str:
        """Sizes, for progress.txt."""
        return f"hidden={len(self.inward)}, window={self.window}, lags={self.lags}"

    def forward(self, window: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Forecast after each sample that has `self.window - 1` samples before it.

        A window `(B, T)`, oldest first, gives forecasts `(B, T - self.window + 1)` and no state.
        """
        readout, bound = _to_array(self.readout), float(self.bound)
        forecasts = [features @ readout for features in self._run(_to_array(window))]
        return torch.from_numpy(np.stack(forecasts, axis=1).clip(-bound, bound)), None

    @torch.no_grad()
    def fit_readout(self, window: Tensor, targets: Tensor, penalty: float) -> None:
        """Fit the readout by ridge regression (Hoerl & Kennard, 1970) on the normal equations.

        Minimises the mean squared error plus penalty · |readout|², without the constant. A window
        `(B, T)`, oldest first, has targets `(B, T - self.window + 1)`, as `forward` forecasts them.
        """
        size = len(self.readout)
        gram, moments = np.zeros((size, size)), np.zeros(size)
        for start in range(0, len(window), 1024):  # windows and steps in parts: little memory
            rows = slice(start, start + 1024)
            wanted = _to_array(targets[rows])
            for column, features in enumerate(self._run(_to_array(window[rows]))):
                gram += features.T @ features
                moments += features.T @ wanted[:, column]
        gram[np.arange(size - 1), np.arange(size - 1)] += penalty * targets.numel()
        # by least squares: without a penalty features may depend on each other
        solution, *_ = np.linalg.lstsq(gram, moments, rcond=None)
        self.readout.copy_(torch.from_numpy(solution))
        self.bound.copy_(10 * max(window.abs().max(), targets.abs().max()))

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, feeding forecasts back.

        The history is in order, oldest first; one shorter than the window is preceded by its first
        sample. Returns `(B, n)`, float64.
        """
        missing = max(0, self.window - history.shape[1])
        given = torch.cat([history[:, :1].expand(-1, missing), history], dim=1)[:, -self.window :]
        samples = np.empty((len(given), self.window + horizon))
        samples[:, : self.window] = _to_array(given)
        readout, bound = _to_array(self.readout), float(self.bound)
        [features] = self._run(samples[:, : self.window])
        for end in range(self.window, samples.shape[1]):
            samples[:, end] = np.clip(features @ readout, -bound, bound)
            hidden = self._step(features[:, : len(self.inward)], samples[:, end])
            features = self._join(hidden, samples[:, : end + 1])
        return torch.from_numpy(samples[:, self.window :])

    def _run(self, window: _Array) -> Iterator[_Array]:
        """Yield the inputs of the readout for each forecast, from a state of zero."""
        hidden = np.zeros((len(window), len(self.inward)))
        for end in range(1, window.shape[1] + 1):
            hidden = self._step(hidden, window[:, end - 1])
            if end >= self.window:
                yield self._join(hidden, window[:, :end])

    def _step(self, hidden: _Array, sample: _Array) -> _Array:
        """Return the next state `(B, H)` after a sample `(B,)`, in NumPy for fast calls."""
        drive = hidden @ self.recurrent.numpy().T
        drive += sample[:, None] * self.inward.numpy() + self.bias.numpy()
        following: _Array = (1 - self.leak) * hidden + self.leak * np.tanh(drive, out=drive)
        return following

    def _join(self, hidden: _Array, samples: _Array) -> _Array:
        """Join the inputs of the readout, `(B, H + lags + 1)`: state, last samples, 1."""
        lagged = samples[:, samples.shape[1] - self.lags :]
        return np.concatenate([hidden, lagged, np.ones((len(hidden), 1))], axis=1)


def _to_array(values: Tensor) -> _Array:
    array: _Array = values.detach().numpy().astype(np.float64, copy=False)
    return array
