"""What has been handed to the sound track, and what of it has left. Pure arithmetic.

*Media samples* count everything pushed into the track since the session began, silence included;
a *position* counts the samples of one segment. Both run at 24 kHz.
"""

from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of media samples. Speech has a segment; beyond `speech_samples` it is padding."""

    start: int
    length: int
    segment: int | None = None
    position: int = 0
    speech_samples: int = 0

    @property
    def end(self) -> int:
        return self.start + self.length


class Timeline:
    """Maps media samples to segments, for as long as somebody may still ask about them."""

    def __init__(self) -> None:
        self.pushed = 0
        self._spans: deque[Span] = deque()
        self._heard: dict[int, int] = {}

    @property
    def speech_end(self) -> int:
        """The media sample behind the last speech that was pushed (0: none is remembered)."""
        return max((span.end for span in self._spans if span.segment is not None), default=0)

    def push_silence(self, length: int) -> None:
        self._append(Span(self.pushed, length))

    def push_speech(self, length: int, *, segment: int, position: int, speech_samples: int) -> None:
        """`speech_samples` of a segment from `position` on, padded with zeros to `length`."""
        self._heard.setdefault(segment, 0)
        self._append(Span(self.pushed, length, segment, position, speech_samples))

    def cut(self, left: int) -> None:
        """Everything that has not left (`left`: media samples) was thrown away."""
        if left >= self.pushed:
            return
        kept: deque[Span] = deque()
        for span in self._spans:
            length = min(span.end, left) - span.start
            if length > 0:
                speech = min(span.speech_samples, length)
                kept.append(replace(span, length=length, speech_samples=speech))
        self._spans = kept
        self.pushed = left

    def heard(self, segment: int, left: int) -> int:
        """How many samples of the segment have left when `left` media samples have."""
        heard = self._heard.get(segment, 0)
        for span in self._spans:
            if span.segment == segment and span.start < left:
                heard = max(heard, span.position + min(span.speech_samples, left - span.start))
        return heard

    def start_of(self, segment: int) -> int | None:
        """The media sample at which the first remembered speech of the segment leaves."""
        return next((span.start for span in self._spans if span.segment == segment), None)

    def end_of(self, segment: int) -> int | None:
        """The media sample behind the last real sample of the segment pushed so far."""
        ends = [s.start + s.speech_samples for s in self._spans if s.segment == segment]
        return ends[-1] if ends else None

    def forget(self, left: int) -> None:
        """Drop what has left; the position reached in each segment stays known."""
        while self._spans and self._spans[0].end <= left:
            span = self._spans.popleft()
            if span.segment is not None:
                self._heard[span.segment] = span.position + span.speech_samples

    def close(self, segment: int) -> None:
        """The segment is over and reported: nobody will ask again."""
        self._heard.pop(segment, None)

    def _append(self, span: Span) -> None:
        if span.length > 0:
            self._spans.append(span)
            self.pushed += span.length
