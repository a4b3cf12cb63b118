"""A sinusoid that is fitted to a history."""

import torch
from torch import Tensor, nn


class SinusoidForecaster(nn.Module):
    """Continues a sinusoid of known frequency: y_t = A sin(ωt + φ) = a sin(ωt) + b cos(ωt).

    Args:
        has_fixed_amplitude: take A from training, and fit only the phase φ to each history, by
            nonlinear least squares. If False, fit a and b by linear least squares.
    """

    _NUM_STEPS = 30  # of Newton's method for φ; a few suffice

    def __init__(self, has_fixed_amplitude: bool) -> None:
        super().__init__()
        self.has_fixed_amplitude = has_fixed_amplitude
        self.frequency = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))  # radians per sample
        self.amplitude = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))  # A of training

    @property
    def shortest_history(self) -> int:
        """Fewest samples of a history."""
        return 2

    def forecast(self, history: Tensor, horizon: int, state: None = None) -> Tensor:
        """Forecast the n = `horizon` samples after a history `(B, T)`, oldest first: `(B, n)`.

        Raises:
            ValueError: if the history is shorter than 2 samples.
        """
        length = history.shape[1]
        if length < self.shortest_history:
            raise ValueError(f"a history needs {self.shortest_history} samples, not {length}")
        samples = history.double()
        times = torch.arange(1 - length, 1 + horizon, dtype=torch.float64)  # 0: the last sample
        angles = self.frequency * times
        waves = torch.stack([angles.sin(), angles.cos()])
        weights = samples @ torch.linalg.pinv(waves[:, :length])  # (B, 2): a and b
        if not self.has_fixed_amplitude:
            continued: Tensor = weights @ waves[:, length:]
            return continued
        phase = torch.atan2(weights[:, 1], weights[:, 0]).unsqueeze(1)
        for _ in range(self._NUM_STEPS):
            wave = self.amplitude * (angles[:length] + phase).sin()
            slope = self.amplitude * (angles[:length] + phase).cos()
            error = samples - wave
            gauss_newton = (slope * slope).sum(1, True)  # the curvature without the second term
            curvature = torch.maximum(gauss_newton, gauss_newton + (wave * error).sum(1, True))
            phase = phase + (slope * error).sum(1, True) / curvature
        forecast: Tensor = self.amplitude * (angles[length:] + phase).sin()
        return forecast
