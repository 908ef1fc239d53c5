"""The guard around the steps: losses that are no numbers, that explode, and that do not fall."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from impasto.errors import DivergedError
from impasto.optimization.descent import DEFAULT_LEARNING_RATE, Descent
from impasto.optimization.tensors import TorchObjective

SHAPE = (1, 3, 8, 8)


def bowl(bottom):
    def objective(image):
        return {"total": (image - bottom).square().mean()}

    return objective


def bowl_with_a_cliff(bottom, edge):
    """A bowl; no number comes back where the picture is brighter than ``edge`` in the mean."""

    def objective(image):
        return {"total": (image - bottom).square().mean() + 0 * (edge - image.mean()).sqrt()}

    return objective


def begin(objective, *, optimizer="lbfgs", learning_rate=None, value=0.5):
    return Descent(grey(value), of(objective), optimizer=optimizer, learning_rate=learning_rate)


def grey(value):
    return np.full(SHAPE, value, np.float32)


def of(objective):
    """Let PyTorch find the gradient."""
    return TorchObjective(objective, torch.device("cpu"))


def loss_at(objective, image):
    return of(objective).evaluate(image).losses["total"]


def take(descent, steps):
    """Take ``steps``; return the notes by number of step."""
    notes = {}
    for number in range(1, steps + 1):
        note = descent.step()[1]
        if note:
            notes[number] = note
    return notes


@pytest.mark.parametrize("optimizer", sorted(DEFAULT_LEARNING_RATE))
def test_goes_down_without_a_word(optimizer):
    descent = begin(bowl(0.8), optimizer=optimizer)
    losses, notes = [], set()
    while len(losses) < 60 and not descent.converged:
        step_losses, note = descent.step()
        losses.append(step_losses["total"])
        notes.add(note)
    assert notes <= {"", "the gradient is zero: nothing is left to change"}
    assert losses[-1] < losses[0] / 100


def test_the_losses_are_those_before_the_move():
    descent = begin(bowl(0.75))
    assert descent.step()[0] == {"total": pytest.approx(0.0625)}


def test_rolls_back_from_a_loss_that_is_no_number_with_smaller_steps():
    descent = begin(bowl_with_a_cliff(0.9, 0.55))
    seen = []
    for _ in range(40):
        losses, note = descent.step()
        seen.append((losses["total"], note))
        if note:
            assert np.array_equal(descent.image, descent.best)
            break
    total, note = seen[-1]
    assert total != total
    assert note == "the loss was nan; rolled back to the best picture, steps are 4 times smaller now"
    best = min(total for total, _ in seen[:-1])
    assert loss_at(bowl(0.9), descent.best) == pytest.approx(best)
    assert descent.state()[1]["learning_rate"] == 0.25
    assert np.isfinite(descent.image).all()


def test_after_three_roll_backs_adam_goes_on_and_nears_the_cliff():
    descent = begin(bowl_with_a_cliff(0.9, 0.55))
    notes = []
    for _ in range(200):
        note = descent.step()[1]
        if note:
            notes.append(note)
        if "Adam" in note:
            break
    assert [note.rpartition(", ")[2] for note in notes] == [
        "steps are 4 times smaller now",
        "steps are 4 times smaller now",
        "Adam goes on",
    ]
    assert descent.state()[1]["optimizer"] == "adam"


def test_adam_goes_on_with_small_steps():
    descent = begin(lambda image: {"total": 1 + image.mean() - image.mean().detach()})  # a slope, and no progress
    assert "Adam goes on" in take(descent, 51)[51]
    descent.step()
    first_move = grey(DEFAULT_LEARNING_RATE["adam"] / 4)  # Adam's is as long as its rate, for every pixel
    np.testing.assert_allclose(0.5 - descent.image, first_move, rtol=0.01)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_algorithms_keep_their_name_through_roll_backs(optimizer):
    descent = begin(bowl_with_a_cliff(0.9, 0.55), optimizer=optimizer)
    while not (note := descent.step()[1]):
        pass
    assert note.endswith("steps are 4 times smaller now")
    arrays, course = descent.state()
    assert course["optimizer"] == optimizer
    assert course["learning_rate"] == DEFAULT_LEARNING_RATE[optimizer] / 4
    assert np.array_equal(arrays["image"], arrays["best"])


def test_a_gradient_that_is_no_number_rolls_back_too():
    def objective(image):
        # Like the standard deviation of a flat channel: the root of 0 is a number, and its slope is none.
        below = 0.51 - image
        return {"total": (image - 0.9).square().mean() + (below * (below > 0)).sqrt().mean()}

    descent = begin(objective, optimizer="sgd", learning_rate=0.05)
    descent.step()
    losses, note = descent.step()
    assert losses["total"] == losses["total"]
    assert "rolled back to the best picture" in note
    np.testing.assert_array_equal(descent.image, grey(0.5))


def test_rolls_back_from_a_loss_that_explodes():
    descent = begin(bowl(0.5), optimizer="sgd", learning_rate=10.0, value=0.51)
    losses, note = descent.step()
    assert note == ""
    losses, note = descent.step()
    assert losses["total"] > 100 * 0.01**2
    assert note == "the loss was 0.25; rolled back to the best picture, steps are 4 times smaller now"
    np.testing.assert_array_equal(descent.image, grey(0.51))
    assert descent.state()[1]["learning_rate"] == 2.5
    take(descent, 20)
    assert loss_at(bowl(0.5), descent.best) <= 0.01**2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_start_that_is_no_number_is_refused(value):
    descent = begin(lambda image: {"total": image.mean() * value})
    with pytest.raises(DivergedError) as caught:
        descent.step()
    assert str(caught.value) == (
        f"the loss of the starting picture is {value}; lower the weights of the losses, or choose relative "
        "normalization or precision float32"
    )


def test_ends_with_the_best_picture_after_eight_roll_backs():
    start = grey(0.5)

    def only_the_start_counts(image):
        return {"total": image.mean() / (image == start).all()}

    descent = begin(only_the_start_counts, optimizer="adam")
    notes = []
    while not descent.converged:
        notes.append(descent.step()[1])
    assert sum("rolled back" in note for note in notes) == 8
    assert notes[-1] == "the loss is inf again after 8 roll-backs; ending with the best picture"
    assert np.array_equal(descent.best, start)


def test_a_stalled_lbfgs_restarts_and_then_hands_over_to_adam():
    # All slope and nowhere to go: the minimum lies beyond black.
    descent = begin(lambda image: {"total": 1 + image.mean()}, value=0.0)
    notes = take(descent, 120)
    assert notes == {
        26: "L-BFGS made no progress in 25 steps; restarted from the best picture",
        51: "L-BFGS made no progress in 25 steps; Adam goes on from the best picture",
    }
    assert descent.state()[1]["optimizer"] == "adam"


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_other_algorithms_are_not_watched_for_stalls(optimizer):
    descent = begin(lambda image: {"total": 1 + image.mean()}, optimizer=optimizer, value=0.0)
    assert take(descent, 60) == {}


def test_ends_where_the_gradient_is_zero():
    descent = begin(bowl(0.5))
    assert not descent.converged
    assert descent.step() == ({"total": 0.0}, "the gradient is zero: nothing is left to change")
    assert descent.converged
    assert np.array_equal(descent.best, grey(0.5))


def test_keeps_the_best_picture_of_a_course_that_overshoots():
    descent = begin(bowl(0.6), optimizer="sgd", learning_rate=0.3)
    lowest = min(descent.step()[0]["total"] for _ in range(12))
    last = descent.step()[0]["total"]
    assert last > lowest
    assert loss_at(bowl(0.6), descent.best) == pytest.approx(lowest)


def test_without_the_best_the_last_counts():
    descents = [Descent(grey(0.5), of(bowl(0.9)), optimizer="adam", keeps_best=kept) for kept in (True, False)]
    for descent in descents:
        for _ in range(3):
            descent.step()
    kept, last = descents
    np.testing.assert_array_equal(kept.image, last.image)
    np.testing.assert_array_equal(last.best, last.image)
    assert np.abs(kept.best - kept.image).max() > 0, "the last move has not been evaluated"


def test_the_start_is_not_changed():
    start = grey(0.5)
    descent = Descent(start, of(bowl(0.9)), optimizer="adam")
    take(descent, 3)
    assert np.array_equal(start, grey(0.5))
    assert not np.array_equal(descent.image, start)


@pytest.mark.parametrize(
    ("objective", "optimizer", "value", "steps", "more"),
    [
        (bowl(0.8), "lbfgs", 0.5, 3, 20),
        (bowl(0.8), "adam", 0.5, 5, 20),
        (bowl(0.8), "sgd", 0.5, 5, 20),
        (bowl_with_a_cliff(0.9, 0.55), "lbfgs", 0.5, 4, 8),  # in the midst of roll-backs
        (lambda image: {"total": 1 + image.mean()}, "lbfgs", 0.0, 30, 40),  # between restart and Adam
    ],
)
def test_continues_from_a_state_in_the_same_words(objective, optimizer, value, steps, more):
    descent = begin(objective, optimizer=optimizer, value=value)
    take(descent, steps)
    arrays, course = descent.state()
    arrays = {name: array.copy() for name, array in arrays.items()}
    expected = take(descent, more)

    restored = begin(objective, optimizer=optimizer, value=0.1)
    restored.restore(arrays, json.loads(json.dumps(course)))
    assert take(restored, more) == expected
    assert np.array_equal(restored.image, descent.image)
    assert np.array_equal(restored.best, descent.best)
