"""When the start of a program is given up: on silence, and not for being slow."""

import pytest

from apps.stack.progress import CPU_ALONE_MAX_S, CPU_STEP_ANSWERING_S, Progress

SILENCE_S = 60.0


@pytest.fixture
def progress() -> Progress:
    return Progress(SILENCE_S, began_s=0.0)


def gives_up_at(
    progress: Progress,
    until_s: int,
    output_every_s: int = 0,
    reasons: tuple[str, ...] = ("refused",),
    cpu: float = 0.0,
    answered: bool = False,
) -> int:
    """The second at which it is given up, of a program that writes, changes its reasons and takes a share of the processor; 0 if never."""
    for now in range(until_s):
        output = now // output_every_s if output_every_s else 0
        if progress.is_over(float(now), output=output, reason=reasons[now % len(reasons)], answered=answered, cpu_s=cpu * now):
            return now
    return 0


def test_silence_is_given_up_after_its_bound(progress: Progress) -> None:
    assert gives_up_at(progress, 100) == SILENCE_S + 1


def test_output_keeps_the_hope_up(progress: Progress) -> None:
    assert gives_up_at(progress, 3000, output_every_s=59) == 0


def test_a_reason_that_moves_keeps_it_up(progress: Progress) -> None:
    assert gives_up_at(progress, 3000, reasons=tuple(f"catching up: at sequence {n} of 9000" for n in range(3000))) == 0


def test_reasons_that_only_come_back_do_not(progress: Progress) -> None:
    assert gives_up_at(progress, 300, reasons=("refused", "no answer")) == SILENCE_S + 2


def test_the_share_of_the_processor_of_a_busy_machine_keeps_it_up(progress: Progress) -> None:
    assert gives_up_at(progress, 500, cpu=2 / 31) == 0


def test_one_among_hundreds_that_does_not_answer_yet_is_waited_for_too(progress: Progress) -> None:
    assert gives_up_at(progress, 500, cpu=2 / 400) == 0


def test_the_processor_time_of_one_that_answers_and_waits_idly_does_not(progress: Progress) -> None:
    assert gives_up_at(progress, 500, cpu=0.9 * CPU_STEP_ANSWERING_S / SILENCE_S, answered=True) == SILENCE_S + 1


def test_an_endless_loop_is_given_up_in_the_end(progress: Progress) -> None:
    assert CPU_ALONE_MAX_S <= gives_up_at(progress, 1000, cpu=1.0) <= CPU_ALONE_MAX_S + SILENCE_S + 1
