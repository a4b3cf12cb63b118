"""What a job says while it runs, and what is not run where one failed."""

import subprocess
import sys
import tempfile

from stages.cli.jobs import Job, finish_job, format_running, list_running

CHAIN = [
    "train_forecaster@carried_rnn",
    "evaluate_forecaster@carried_rnn",
    "plot_forecaster@carried_rnn",
]


def start(printed, chain=CHAIN):
    output = tempfile.TemporaryFile()  # noqa: SIM115  the job reads it later
    code = f"print({printed!r}, flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=output)
    return Job(chain, process, output)


def wait_for_line(job):
    while not job.read_last_line():
        assert job.process.poll() is None


def end(job):
    job.process.communicate(b"\n")
    job.output.close()


def test_the_last_line_of_a_running_job_is_shown():
    job = start("Running stage\n  1.0 s  Iteration: 100 loss 0.5\n")
    wait_for_line(job)

    said = format_running(job)

    end(job)
    assert said.endswith("train_forecaster@carried_rnn  1.0 s  Iteration: 100 loss 0.5")


def test_a_line_without_a_letter_or_digit_is_skipped():
    job = start("RNN(\n  (head): Linear(4, 1)\n)\n")  # as PyTorch prints a module
    wait_for_line(job)

    said = format_running(job)

    end(job)
    assert said.endswith("train_forecaster@carried_rnn  (head): Linear(4, 1)")


def test_reading_it_does_not_move_where_the_job_writes():
    job = start("first")
    wait_for_line(job)

    job.process.communicate(b"\n")

    job.output.seek(0)
    assert job.output.read() == b"first\n"
    job.output.close()


def test_a_long_line_is_cut_to_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    job = start("x" * 200)
    wait_for_line(job)

    said = format_running(job)

    end(job)
    assert len(said) < 60


def test_the_stage_that_a_job_has_reached_is_shown_and_the_ones_before_have_ended():
    job = start(f"Running stage '{CHAIN[0]}':\n{'x' * 1000}\nRunning stage '{CHAIN[1]}':\n> it")
    wait_for_line(job)

    said = format_running(job)

    end(job)
    assert said.endswith("s  evaluate_forecaster@carried_rnn  > it")
    assert list(list_running([job])) == CHAIN[1:]


def test_the_warnings_of_a_stage_are_printed_wherever_it_ran(capsys):
    here = "WARNING: this processor has no AVX2"
    there = f"(carried_rnn pid=12, ip=10.0.0.2) {here}"
    job = start(f"{here}\n  1.0 s  no WARNING\n{there}")
    job.process.communicate(b"\n")

    finish_job(job, "[1/3]")

    job.output.close()
    assert capsys.readouterr().out.splitlines()[:-1] == [here, there]
