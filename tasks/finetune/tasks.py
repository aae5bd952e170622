"""Prefect tasks for the steps of a fine-tuning. Call them with `unsearched` arguments."""

from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from colormodel.finetune import Finetuned, Look
from tasks.finetune.course import Course, Judged, judge_challenger, train
from tasks.finetune.showing import look_in_words


@task(name="train", cache_policy=NO_CACHE)
def train_as_task(course: Course, tell: Callable[[int, str], None]) -> Finetuned | str:
    """Train the challenger; *tell* is given the step and words at each look."""

    def on_look(look: Look) -> None:
        tell(look.step, look_in_words(look))

    return train(course, on_look=on_look)


@task(name="judge", cache_policy=NO_CACHE)
def judge_challenger_as_task(course: Course, trained: Finetuned | str) -> Judged:
    """Score champion and challenger in one run, and decide."""
    return judge_challenger(course, trained)
