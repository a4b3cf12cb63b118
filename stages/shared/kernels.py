"""Recurrences and their gradients, compiled by numba: no overhead of PyTorch per call.

All of it is plain arithmetic on float32 in a fixed order, so that bytes are the same on every
processor: without `fastmath` nothing is reassociated or contracted, and no function of the C
library is used. Sums run over rows in order, four at a time; columns are independent and fill
vector units of any width.

Shapes: T time steps, H size of the state, V letters, L languages, N windows or names.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Array = NDArray[np.float32]
_Indices = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_ONE = np.float32(1)
_HALF = np.float32(0.5)
_INPUT, _FORGET, _CELL, _OUTPUT = range(4)  # the gates i, f, g, o in PyTorch's order
_LN_2 = 0.6931471805599453
# tanh x = x p(x²) / q(x²) on [-_MOST, _MOST], from the highest power: generic_fast_tanh_float in
# Eigen's MathFunctionsImpl.h, which XLA took over; at most 3.5e-7 off
_MOST = np.float32(7.90531110763549805)
_P6, _P5 = np.float32(-2.76076847742355e-16), np.float32(2.00018790482477e-13)
_P4, _P3 = np.float32(-8.60467152213735e-11), np.float32(5.12229709037114e-08)
_P2, _P1 = np.float32(1.48572235717979e-05), np.float32(6.37261928875436e-04)
_P0 = np.float32(4.89352455891786e-03)
_Q3, _Q2 = np.float32(1.19825839466702e-06), np.float32(1.18534705686654e-04)
_Q1, _Q0 = np.float32(2.26843463243900e-03), np.float32(4.89352518554385e-03)


def _part(function: _Function) -> _Function:
    """Compile a function for other kernels."""
    compiled: _Function = njit(error_model="numpy")(function)
    return compiled


def kernel(function: _Function) -> _Function:
    """Compile a function for Python at its first call, and cache it where a cache is writable."""
    try:
        compiled: _Function = njit(error_model="numpy", cache=True)(function)
    except RuntimeError:
        return _part(function)
    return compiled


@_part
def _add_product(total: _Array, factors: _Array, rows: _Array) -> None:
    """Add to total `(C,)`: factors `(R,)` @ rows `(R, C)`, four rows at a time."""
    num_rows, num_columns = rows.shape
    fours = num_rows - num_rows % 4
    for r in range(0, fours, 4):
        a, b, c, d = factors[r], factors[r + 1], factors[r + 2], factors[r + 3]
        for k in range(num_columns):
            one, two = a * rows[r, k] + b * rows[r + 1, k], c * rows[r + 2, k] + d * rows[r + 3, k]
            total[k] += one + two  # in pairs: a shorter chain than one after another
    for r in range(fours, num_rows):
        for k in range(num_columns):
            total[k] += factors[r] * rows[r, k]


@_part
def _add_products(total: _Array, left: _Array, right: _Array) -> None:
    """Add to total `(R, C)`: leftᵀ @ right, of `(T, R)` and `(T, C)`."""
    for r in range(len(total)):
        _add_product(total[r], left[:, r], right)


@_part
def squash(values: _Array) -> None:
    """Take tanh of `(H,)` in place."""
    for k in range(len(values)):
        x = min(max(values[k], -_MOST), _MOST)
        s = x * x
        p = (((((_P6 * s + _P5) * s + _P4) * s + _P3) * s + _P2) * s + _P1) * s + _P0
        q = ((_Q3 * s + _Q2) * s + _Q1) * s + _Q0
        values[k] = x * p / q


@_part
def exp(x: float) -> float:
    """Return exp x to 1e-9 of its value: 2^n times the series of the rest, at most ln 2 / 2."""
    n = math.floor(x / _LN_2 + 0.5)
    rest = x - n * _LN_2
    series = 1.0
    for k in range(9, 0, -1):
        series = 1 + series * rest / k
    return math.ldexp(series, int(n))


@_part
def log(x: float) -> float:
    """Return log x, for x from 1 to a few hundred, by Halley's method for exp y = x."""
    y = 0.0
    for _ in range(8):
        power = exp(y)
        y += 2 * (x - power) / (x + power)
    return y


@_part
def _run_elman(states: _Array, w_t: _Array) -> None:
    """Turn the drive d `(T, H)` into states h_t = tanh(d_t + w h_{t-1}), in the same memory.

    The first row of the drive includes w h_0; `w_t` is the transpose of w, `(H, H)`.
    """
    squash(states[0])
    for t in range(1, len(states)):
        _add_product(states[t], states[t - 1], w_t)
        squash(states[t])


@_part
def _reverse_elman(d_states: _Array, states: _Array, w: _Array) -> None:
    """Back-propagate through time: direct gradients of the states become those of the drive.

    Both are `(T, H)`, in the same memory.
    """
    num_steps, hidden = states.shape
    for t in range(num_steps - 1, -1, -1):
        if t + 1 < num_steps:
            _add_product(d_states[t], d_states[t + 1], w)
        for k in range(hidden):
            d_states[t, k] *= _ONE - states[t, k] * states[t, k]  # tanh' = 1 - tanh²


@_part
def _run_lstm(gates: _Array, cells: _Array, tanhs: _Array, states: _Array, w_t: _Array) -> None:
    """i, f, o = σ and g = tanh of d_t + w h_{t-1}; c_t = f c_{t-1} + i g; h_t = o tanh c_t.

    Args:
        gates: drive d `(T, 4H)`, becomes i, f, g and o in the same memory.
        cells: filled with c `(1 + T, H)`, which begins with zeros.
        tanhs: filled with tanh c `(T, H)`.
        states: filled with h `(1 + T, H)`, which begins with zeros.
        w_t: the transpose of w, `(H, 4H)`.
    """
    num_steps, hidden = tanhs.shape
    parts = gates.reshape(num_steps, 4, hidden)
    scale = np.full(4 * hidden, _HALF)  # σ(x) = ½ + ½ tanh(½x)
    scale[2 * hidden : 3 * hidden] = _ONE
    for t in range(num_steps):
        _add_product(gates[t], states[t], w_t)
        for k in range(4 * hidden):
            gates[t, k] *= scale[k]
        squash(gates[t])
        for k in range(4 * hidden):
            gates[t, k] = gates[t, k] * scale[k] + (_ONE - scale[k])
        for k in range(hidden):
            remembered = parts[t, _FORGET, k] * cells[t, k]
            cells[t + 1, k] = remembered + parts[t, _INPUT, k] * parts[t, _CELL, k]
            tanhs[t, k] = cells[t + 1, k]
        squash(tanhs[t])
        for k in range(hidden):
            states[t + 1, k] = parts[t, _OUTPUT, k] * tanhs[t, k]


@_part
def _reverse_lstm(
    d_gates: _Array, d_last: _Array, gates: _Array, cells: _Array, tanhs: _Array, w: _Array
) -> None:
    """Back-propagate through time: fill in the gradient of the drive, d_gates `(T, 4H)`.

    `d_last` `(H,)` is the gradient of h_T, and is overwritten. The other arguments are those of
    `_run_lstm`, with w `(4H, H)`.
    """
    num_steps, hidden = tanhs.shape
    parts, d_parts = gates.reshape(num_steps, 4, hidden), d_gates.reshape(num_steps, 4, hidden)
    d_state, d_cell = d_last, np.zeros_like(d_last)
    for t in range(num_steps - 1, -1, -1):
        for k in range(hidden):
            i, f = parts[t, _INPUT, k], parts[t, _FORGET, k]
            g, o = parts[t, _CELL, k], parts[t, _OUTPUT, k]
            tanh, before = tanhs[t, k], cells[t, k]
            d_cell[k] += d_state[k] * o * (_ONE - tanh * tanh)
            d_parts[t, _INPUT, k] = d_cell[k] * g * i * (_ONE - i)
            d_parts[t, _FORGET, k] = d_cell[k] * before * f * (_ONE - f)
            d_parts[t, _CELL, k] = d_cell[k] * i * (_ONE - g * g)
            d_parts[t, _OUTPUT, k] = d_state[k] * tanh * o * (_ONE - o)
            d_cell[k] *= f
        d_state[:] = 0
        _add_product(d_state, d_gates[t], w)


@_part
def _split_weights(flat: _Array, rows: int, hidden: int) -> tuple[_Array, ...]:
    """Split the weights of a recurrent layer over single samples, and of its head.

    Returns W_I `(rows,)`, W_R `(rows, H)`, b_I and b_R `(rows,)`, V `(H,)` and c `(1,)`.
    """
    w_end = rows + rows * hidden
    w = flat[rows:w_end].reshape(rows, hidden)
    b_in, b = flat[w_end : w_end + rows], flat[w_end + rows : w_end + 2 * rows]
    head = flat[w_end + 2 * rows :]
    return flat[:rows], w, b_in, b, head[:hidden], head[hidden:]


@_part
def _drive_with(window: _Array, w_in: _Array, b_in: _Array, b: _Array) -> _Array:
    """W_I x_t + b_I + b_R: samples `(T,)` -> `(T, rows)`."""
    drive = np.empty((len(window), len(b)), np.float32)
    for t in range(len(window)):
        for k in range(len(b)):
            drive[t, k] = w_in[k] * window[t] + (b_in[k] + b[k])
    return drive


@_part
def _add_drive(
    d_w_in: _Array, d_b_in: _Array, d_b: _Array, window: _Array, d_drive: _Array
) -> None:
    """Add the gradients of W_I, b_I and b_R, from the gradient of the drive `(T, rows)`."""
    _add_product(d_w_in, window, d_drive)
    _add_product(d_b_in, np.ones_like(window), d_drive)
    d_b[:] = d_b_in


@_part
def _score_states(
    states: _Array, v: _Array, c: _Array, target: _Array, forecast: _Array, d_v: _Array, d_c: _Array
) -> tuple[float, _Array]:
    """Return the mean squared error of forecasts V h + c, and its gradient by states `(S, H)`.

    `forecast` and `target` are `(S,)`. Fills in `forecast` and the gradient of c, and adds to the
    gradient of V.
    """
    total = 0.0
    d_forecast = np.empty_like(target)
    for s in range(len(states)):
        forecast[s] = c[0]
        for k in range(len(v)):
            forecast[s] += v[k] * states[s, k]
        error = forecast[s] - target[s]
        total += error * error
        d_forecast[s] = (error + error) / np.float32(len(target))
    _add_product(d_v, d_forecast, states)
    d_c[0] = d_forecast.sum()
    return total / len(target), d_forecast.reshape(-1, 1) * v


@kernel
def differentiate_elman(
    windows: _Array,
    targets: _Array,
    state: _Array,
    weights: _Array,
    gradients: _Array,
    forecasts: _Array,
) -> float:
    """Return the mean squared error of one-step forecasts, and fill in its gradient.

    Args:
        windows: `(1, T)`, oldest first.
        targets: `(1, T)`.
        state: h_0 `(H,)`, becomes h_T.
        weights: `(P,)`, in the order of `_split_weights`.
        gradients: `(P,)`, filled in.
        forecasts: `(1, T)`, filled in.
    """
    window, hidden = windows[0], len(state)
    w_in, w, b_in, b, v, c = _split_weights(weights, hidden, hidden)
    gradients[:] = 0
    d_w_in, d_w, d_b_in, d_b, d_v, d_c = _split_weights(gradients, hidden, hidden)
    w_t = np.ascontiguousarray(w.T)
    states = _drive_with(window, w_in, b_in, b)
    _add_product(states[0], state, w_t)
    _run_elman(states, w_t)

    loss, d_states = _score_states(states, v, c, targets[0], forecasts[0], d_v, d_c)
    _reverse_elman(d_states, states, w)
    _add_drive(d_w_in, d_b_in, d_b, window, d_states)
    _add_products(d_w, d_states[:1], state.reshape(1, -1))
    _add_products(d_w, d_states[1:], states[:-1])
    state[:] = states[-1]
    return loss


@kernel
def differentiate_lstm(
    windows: _Array,
    targets: _Array,
    state: _Array,
    weights: _Array,
    gradients: _Array,
    forecasts: _Array,
) -> float:
    """Return the squared error of the forecast after a window, and fill in its gradient.

    The arguments are those of `differentiate_elman`, with targets and forecasts `(1, 1)`, and a
    state of zeros that does not change.
    """
    window = windows[0]
    num_steps, hidden = len(window), len(state)
    w_in, w, b_in, b, v, c = _split_weights(weights, 4 * hidden, hidden)
    gradients[:] = 0
    d_w_in, d_w, d_b_in, d_b, d_v, d_c = _split_weights(gradients, 4 * hidden, hidden)
    gates = _drive_with(window, w_in, b_in, b)
    cells = np.zeros((num_steps + 1, hidden), np.float32)
    states = np.zeros((num_steps + 1, hidden), np.float32)
    tanhs = np.empty((num_steps, hidden), np.float32)
    _run_lstm(gates, cells, tanhs, states, np.ascontiguousarray(w.T))

    loss, d_states = _score_states(states[-1:], v, c, targets[0], forecasts[0], d_v, d_c)
    d_gates = np.empty_like(gates)
    _reverse_lstm(d_gates, d_states[0], gates, cells, tanhs, w)
    _add_drive(d_w_in, d_b_in, d_b, window, d_gates)
    d_w_t = np.zeros((hidden, 4 * hidden), np.float32)  # wide rows are faster
    _add_products(d_w_t, states[:-1], d_gates)
    d_w[:] = d_w_t.T
    return loss


@_part
def _differentiate_nll(logits: _Array, language: int) -> float:
    """Return the negative log-likelihood; the logits `(L,)` become its gradient."""
    most = logits.max()  # exp cannot overflow
    odds = np.empty(len(logits))
    total = 0.0
    for k in range(len(logits)):
        odds[k] = exp(logits[k] - most)
        total += odds[k]
    loss: float = log(total) - (logits[language] - most)
    for k in range(len(logits)):
        logits[k] = odds[k] / total
    logits[language] -= _ONE
    return loss


@_part
def _measure_norm(letters: _Indices, states: _Array, d_drive: _Array, d_logits: _Array) -> float:
    """Return the total norm of the gradients of all six parameters.

    The gradient of a matrix is Σ_t d_t x_tᵀ, with squared norm Σ_st (d_s · d_t) (x_s · x_t). Here
    x_t is a one-hot letter, the ones of two biases, and the previous state.
    """
    square = _dot(d_logits, d_logits) * (1 + _dot(states[-1], states[-1]))
    for s in range(len(letters)):
        for t in range(len(letters)):
            met = 2.0 + (letters[s] == letters[t])
            if s and t:
                met += _dot(states[s - 1], states[t - 1])
            square += _dot(d_drive[s], d_drive[t]) * met
    return math.sqrt(square)


@_part
def _dot(one: _Array, other: _Array) -> float:
    """Return the dot product in float64."""
    total = 0.0
    for k in range(len(one)):
        total += float(one[k]) * float(other[k])
    return total


@kernel
def train_names(
    letters: _Indices,
    lengths: _Indices,
    languages: _Indices,
    weights: tuple[_Array, ...],
    rate: float,
    losses: NDArray[np.float64],
    logits: _Array,
) -> float:
    """Plain SGD of the negative log-likelihood, one update per name.

    h_t = tanh(u x_t + w h_{t-1} + b), h_0 = 0; logits are v h_T + c.

    Args:
        letters: `(N, T)`, padded on the right.
        lengths: `(N,)`, at least 1.
        languages: `(N,)`.
        weights: u `(H, V)` and its bias, w `(H, H)` and its bias, which add up to b, v `(L, H)`
            and c `(L,)`; changed in their own memory.
        rate: learning rate.
        losses: `(N,)`, filled with each loss before its update.
        logits: `(L,)`, filled with the logits of the last name before its update.

    Returns:
        The norm of the gradient of the last name.
    """
    u, u_bias, w, w_bias, v, c = weights
    u_t, w_t, v_t = u.T.copy(), w.T.copy(), v.T.copy()
    step = np.float32(-rate)
    norm = 0.0
    for n in range(len(lengths)):
        name = letters[n, : lengths[n]]
        states = np.empty((len(name), len(w)), np.float32)
        for t in range(len(name)):
            states[t] = u_t[name[t]] + (u_bias + w_bias)
        _run_elman(states, w_t)
        logits[:] = c
        _add_product(logits, states[-1], v_t)
        d_logits = logits.copy()
        losses[n] = _differentiate_nll(d_logits, languages[n])
        d_drive = np.zeros_like(states)
        _add_product(d_drive[-1], d_logits, v)
        _reverse_elman(d_drive, states, w)
        if n == len(lengths) - 1:
            norm = _measure_norm(name, states, d_drive, d_logits)

        d_drive *= step
        d_logits *= step
        for t in range(len(name)):
            u_t[name[t]] += d_drive[t]
            u_bias += d_drive[t]
            w_bias += d_drive[t]
        c += d_logits
        before, last, row = states[:-1], states[-1:], d_logits.reshape(1, -1)
        _add_products(w, d_drive[1:], before)
        _add_products(w_t, before, d_drive[1:])  # the same sums: it stays the transpose
        _add_products(v, row, last)
        _add_products(v_t, last, row)
    u[:] = u_t.T
    return norm
