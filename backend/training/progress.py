"""What a run has behind it: a value that each step replaces, and that a checkpoint holds."""

from __future__ import annotations

from dataclasses import dataclass, replace

HORIZON = 100
"""Steps over which the moving average of the loss reaches back."""
WARMING = 100
"""Examples before the share of those that cannot be read says anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        step: of the optimizer, that are done.
        next_number: of the first example that is not used yet.
        left_out: examples that could not be read.
        in_a_row: of those, how many came last, one after the other.
        skipped_steps: whose loss was no finite number.
        rated_steps: that went into ``average_loss``.
        average_loss: moving average over the last steps; the mean of all while they are few.
    """

    step: int = 0
    next_number: int = 0
    left_out: int = 0
    in_a_row: int = 0
    skipped_steps: int = 0
    rated_steps: int = 0
    average_loss: float | None = None

    def after(self, loss: float | None, readable: list[bool], skipped: bool) -> Progress:
        """The progress after one more step.

        Args:
            loss: of the step; None where it had no example, or none that counts.
            readable: of each of its examples, in the order of their numbers.
            skipped: whether its loss was no finite number.
        """
        in_a_row = self.in_a_row
        for good in readable:
            in_a_row = 0 if good else in_a_row + 1
        rated, average = self.rated_steps, self.average_loss
        if loss is not None:
            rated += 1
            before = loss if average is None else average
            average = before + (loss - before) / min(rated, HORIZON)
        return replace(
            self,
            step=self.step + 1,
            next_number=self.next_number + len(readable),
            left_out=self.left_out + readable.count(False),
            in_a_row=in_a_row,
            skipped_steps=self.skipped_steps + skipped,
            rated_steps=rated,
            average_loss=average,
        )

    def too_many_left_out(self, in_a_row: int, share: float) -> bool:
        """Whether so much cannot be read that the data are to be looked at."""
        many = self.next_number >= WARMING and self.left_out > share * self.next_number
        return many or self.in_a_row >= in_a_row
