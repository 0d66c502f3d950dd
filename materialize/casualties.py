"""What is to be done with a unit whose worker died: pure bookkeeping, no process.

A worker that dies while it decodes an image makes that image a suspect. The suspect is decoded once more, alone,
in a process of its own. Only when that one dies too is the image left out (``decode_error``, or ``timeout`` where
it had to be ended), and the unit is written again without decoding it. A worker that dies between images, or
whose suspect survives alone, died of something else (the memory of the machine, a signal): the unit is tried
again, three times in all.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from materialize.work import Verdict

TRIES = 3
"""Deaths without a culprit that a unit may have before it counts as failed."""


@dataclass(slots=True)
class Casualties:
    """Of one unit.

    Attributes:
        verdicts: key → what is known of images that no process survives.
        unexplained: deaths without a culprit.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    unexplained: int = 0

    def may_try_again(self) -> bool:
        """Count a death without a culprit; whether the unit is worth another try."""
        self.unexplained += 1
        return self.unexplained < TRIES

    def convict(self, key: str, how: str, limit: float | None) -> Verdict:
        """An image died twice, the second time alone.

        Args:
            how: the name of the signal or the exit code.
            limit: seconds after which it was ended, or None where it died by itself.
        """
        if limit is None:
            verdict = Verdict("decode_error", f"the decoder does not survive it ({how})")
        else:
            verdict = Verdict("timeout", f"decoding did not end within {limit:g} s")
        self.verdicts[key] = verdict
        return verdict
