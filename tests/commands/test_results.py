"""Every model stands beside the baselines of its data."""

from stages.commands import results
from tests.workspace import rescore

SINE = {
    "fast": {
        "data": "waves",
        "one_step_mse": 0.1,
        "free_run_mse_49": 0.25,
        "baselines": {"ar2": {"one_step_mse": 0.5}},
    },
    "slow": {
        "data": "waves",
        "one_step_mse": 0.2,
        "baselines": {"ar2": {"one_step_mse": 0.5}},
    },
}


def test_baselines_come_first_and_once_for_all_models_of_their_data():
    rows = results.list_rows(SINE, ["one_step_mse", "free_run_mse_49"], ".2f")

    assert rows == [
        ("waves", "baseline", "ar2", "0.50", "-"),
        ("waves", "network", "fast", "0.10", "0.25"),
        ("waves", "network", "slow", "0.20", "-"),
    ]


def test_the_scores_of_the_workspace_are_printed_task_by_task(workspace, capsys):
    rescore(workspace, "surname_gru", 0.7)

    results.main()

    lines = capsys.readouterr().out.splitlines()
    assert lines.index("sine") < lines.index("surnames")
    rows = [line.split() for line in lines]
    assert [row for row in rows if "hold_last" in row] == [
        ["integer_starts", "baseline", "hold_last", "-", "-", "-", "0.9", "-"]
    ]
    [gru] = [row for row in rows if "surname_gru" in row]
    assert gru[:3] == ["official", "network", "surname_gru"] and "0.690" in gru
