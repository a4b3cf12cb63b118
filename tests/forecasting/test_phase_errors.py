import numpy as np

from stages.forecasting.phase_errors import read_phase_errors, write_phase_errors


def test_errors_are_read_as_they_were_written(tmp_path):
    errors = {
        "ar2": {"one_step_mse": np.array([0.1, 1e-300]), "mse_49": np.array([1 / 3, 2.0])},
        "ridge": {"one_step_mse": np.array([0.3, 0.0]), "mse_49": np.array([5.0, 6.0])},
    }

    write_phase_errors(tmp_path / "errors.csv", errors)

    read = read_phase_errors(tmp_path / "errors.csv")
    assert list(read) == ["ar2", "ridge"]
    for name, scores in errors.items():
        for score, values in scores.items():
            assert read[name][score].tolist() == values.tolist()
