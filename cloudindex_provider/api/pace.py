"""The pace of one budget of requests: what the answers said about it, and when the next request may go.

Pure arithmetic over moments in seconds of any one clock: no I/O, no sleep, no clock of its own. Whoever keeps a
``Pace`` (``LocalPacer`` in memory, ``state.pacer`` in the state) shows it every answer and books every request with it.
Invariants: requests are spaced, never bunched; limits are read from answers, never assumed; what was learned from a
refusal is forgotten again, so a wrong lesson costs hours, not for ever.

Windows come in two kinds, which the headers don't tell apart. In a *fixed* one the Reset stays where it is until the
count starts anew, so what remains is spread over what is left. In a *sliding* one (and a token bucket) the Reset moves
along with every request and says nothing about when the rest may go: there, only the limit's own spacing holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloudindex_provider.errors import RateLimitedError

__all__ = ["HOUR", "Heard", "Pace", "RateLimit"]

HOUR = 3600.0
MARGIN = 1.01  # of the limit's own spacing, since requests don't arrive as evenly as they are sent
CATCH_UP = 0.75  # of the limit's own spacing: as close as requests may follow after time was lost in a fixed window
GENTLE = 0.9  # the same in a sliding window, which gives no more time than it takes
ROUNDING = 2.5  # seconds that two answers about one window may differ by: whole seconds twice, and the way here
FRESH = 5.0  # seconds after a window was first seen in which an answer of the one before may still come in
WINDOW_KEPT = HOUR  # seconds after which a shorter window than the longest seen is believed
LEAST_HOURLY = 20  # requests in an hour; a refusal after fewer says nothing about an hourly limit
LESSON_KEPT = 3 * HOUR  # from the end of the refusal that taught it
FEWER_SLOTS_KEPT = 600.0
LONGEST_CLOSED = HOUR  # seconds; then one request asks anew: a quota may have been raised, a header have been wrong
SHORTEST_REFUSAL = 0.5  # seconds; a 429 that names no time, or one in the past, is no reason to hammer


@dataclass(frozen=True, slots=True)
class RateLimit:
    """The rate limit headers of one answer; ``None`` where it had none."""

    limit: int | None = None  # requests in a window
    remaining: int | None = None  # requests left in this window
    reset_after: float | None = None  # seconds from the answer to the next window; 0 when it is already past


@dataclass(frozen=True, slots=True)
class Heard:
    """What one answer says about the pace; ``status`` 0 where none came."""

    status: int
    limit: RateLimit | None = None
    retry_after: float | None = None  # seconds
    code: str | None = None  # the service's own, of a 429


@dataclass(slots=True)
class Pace:
    """All moments and lengths in seconds; 0 is unknown. Every field is one column where it is kept in a database."""

    next_at: float = 0.0  # the next request's earliest moment
    closed_until: float = 0.0  # nothing goes before this: a 429, or a window without anything left
    allowed: int = 0  # requests a window
    length: float = 0.0  # of a window, the longest seen for this limit
    length_at: float = 0.0  # when that was
    window_from: float = 0.0  # when this window was first seen
    window_ends: float = 0.0
    step: float = 0.0  # between requests, inside this window
    remaining: int = 0  # as the last answer said
    sliding: int = 0  # 1: this window's end moves along
    hourly: int = 0  # requests an hour, learned from a refusal
    hourly_until: float = 0.0
    slots: int = 0  # requests under way at a time, learned from a refusal
    slots_until: float = 0.0
    booked_at: float = 0.0  # when the last moment was booked: the clock has been set back where that is yet to come

    def usual(self, now: float) -> float:
        """Seconds between requests by the limits themselves, whatever this window has left."""
        by_window = self.length / self.allowed * MARGIN if self.allowed else 0.0
        return max(by_window, self._by_hour(now))

    def spacing(self, now: float) -> float:
        """Seconds between requests just now; 0 while no limit is known."""
        return max(self.step, self._by_hour(now)) if now < self.window_ends else self.usual(now)

    def left(self, now: float) -> int | None:
        """Requests that this window still has; ``None`` while none is known."""
        return self.remaining if self.allowed and now < self.window_ends else None

    def within(self, now: float, seconds: float) -> float | None:
        """About how many requests may go in the next ``seconds``; ``None`` while no limit is known."""
        usual = self.usual(now)
        if not usual:
            return None
        end = now + seconds
        begins = max(now, self.closed_until)
        turn = max(min(end, self.window_ends), begins)  # until then, what this window has left is spread
        here = (turn - begins) / (self.spacing(now) or usual)
        return here + max(0.0, end - turn) / usual

    def slots_at(self, now: float, slots: int) -> int:
        """How many of ``slots`` requests may be under way."""
        return min(slots, self.slots) if now < self.slots_until else slots

    def check(self, now: float, *, max_wait: float, patience: float, operation: str, slots: int = 0) -> None:
        """Refuses a request that would wait too long, so that nothing is reserved for it.

        :param max_wait: seconds for which the service has closed the budget
        :param patience: seconds until this request's turn, or as long as the spacing of all that may be booked takes
        :param slots: requests that may be booked or under way
        :raises RateLimitedError: with ``retry_after``
        """
        closed, turn = self.closed_until - now, self._earliest(now) - now
        if closed > max_wait or turn > max(patience, (slots + 1) * self.spacing(now)):
            raise RateLimitedError(
                f"The rate limit asks for a wait of {turn:.0f} s.", retry_after=turn, operation=operation
            )

    def mend(self, now: float) -> None:
        """Forgets every moment where the clock that they were told by has been set back."""
        if now < max(self.window_from, self.booked_at) - ROUNDING:
            self.booked_at = self.next_at = self.closed_until = self.window_ends = self.window_from = self.length_at = (
                0.0
            )
            self.hourly_until = self.slots_until = 0.0

    def book(self, now: float) -> float:
        """The moment of one request, which nobody else gets."""
        at = self._earliest(now)
        self.next_at, self.booked_at = self._following(at), now
        return at

    def hear(self, heard: Heard, now: float, *, flying: int, last_hour: int = 0) -> None:
        """Learns from an answer.

        :param flying: requests booked and not answered, this one not counted: no header counts them yet
        :param last_hour: requests of the last hour that were not refused
        """
        if heard.status == 429:
            self._refused(heard, now, flying, last_hour)
        if heard.limit is not None and (heard.status != 429 or heard.limit.limit in (None, self.allowed)):
            self._learn(heard.limit, now, flying, refused=heard.status == 429)

    def _earliest(self, now: float) -> float:
        return max(now, self.next_at, self.closed_until)

    def _by_hour(self, now: float) -> float:
        return HOUR / self.hourly * MARGIN if self.hourly and now < self.hourly_until else 0.0

    def _following(self, at: float) -> float:
        """The moment after ``at``: the next window doesn't wait for what was left of this one."""
        usual = self.usual(at)
        if at >= self.window_ends:
            return at + usual
        return max(min(at + self.step, max(self.window_ends, at + usual)), at + self._by_hour(at))

    # A window

    def _learn(self, said: RateLimit, now: float, flying: int, *, refused: bool) -> None:
        if said.reset_after is None:
            return
        if said.limit and said.limit != self.allowed:  # another plan, or the first answer of all
            self.allowed, self.length, self.window_ends, self.sliding = said.limit, 0.0, 0.0, 0
        ends = now + said.reset_after
        if now >= self.window_ends or ends > self.window_ends + ROUNDING:
            self._begin(said, now)
        elif ends > self.window_ends - ROUNDING:
            self.window_ends = min(self.window_ends, ends)  # each answer rounds up by another part of a second
        elif now - self.window_from < FRESH:
            return  # a late answer of the window before
        else:
            self.window_ends = ends
        if said.remaining is None:
            self.step = self.usual(now)
            return
        self.remaining = said.remaining
        self._spread(now, flying)
        if not self.remaining and not refused:  # a refusal has said itself how long
            # A Reset that is always a whole window away is no answer to when the next one may go.
            vague = self.sliding and said.reset_after > self.length / 2
            self._close(min(self.window_ends, now + 2 * self.usual(now)) if vague else self.window_ends, now)

    def _begin(self, said: RateLimit, now: float) -> None:
        """Another window than that of the last answer: it is over, and nearly everything is left; else it slides."""
        left = said.reset_after or 0.0
        spent = said.remaining is not None and said.remaining < self.allowed / 2
        self.sliding = int(self.window_ends > 0 and (spent or now < self.window_ends - ROUNDING))
        self.window_from, self.window_ends = now, now + left
        length = _whole(left)
        if length >= self.length or now - self.length_at > WINDOW_KEPT:
            self.length, self.length_at = length, now

    def _spread(self, now: float, flying: int) -> None:
        usual = self.usual(now)
        # Those under way take theirs before ``next_at``. A hundredth is left for clocks that round their times down.
        free = self.remaining - flying - self.allowed // 100
        if self.sliding:
            # Spare requests of a count that is nearly full were lost lately; of one that isn't, it only began.
            behind = 0.02 * self.allowed < free <= 0.2 * self.allowed
            self.step = usual * (GENTLE if behind else 1.0)
        elif free > 0:
            self.step = max(max(0.0, self.window_ends - max(now, self.next_at)) / free, CATCH_UP * usual)
        else:
            self.next_at = max(self.next_at, min(self.window_ends, now + LONGEST_CLOSED))

    # Refusals

    def _refused(self, heard: Heard, now: float, flying: int, last_hour: int) -> None:
        if heard.code is not None and heard.code.endswith("concurrent-exceeded"):
            # Fewer at a time is what helps; the others need not wait for what this one is told to wait.
            self.slots, self.slots_until = max(1, flying), now + FEWER_SLOTS_KEPT
            return
        wait = max(heard.retry_after or 0.0, SHORTEST_REFUSAL)
        self._close(now + wait, now)
        if wait > 2 * self.usual(now) + ROUNDING:
            self.sliding = 0  # where the window slides, one of its requests leaves it soon
        if self._is_hourly(heard, wait):
            limit = heard.limit.limit if heard.limit else None
            hourly = limit if limit and limit != self.allowed else last_hour
            if hourly >= LEAST_HOURLY:
                self.hourly, self.hourly_until = hourly, self.closed_until + LESSON_KEPT

    def _close(self, until: float, now: float) -> None:
        self.closed_until = max(self.closed_until, min(until, now + LONGEST_CLOSED))

    def _is_hourly(self, heard: Heard, wait: float) -> bool:
        """Whether this refusal can't be the window's own, and isn't a day's or a month's either."""
        if wait > HOUR + ROUNDING:
            return False
        longer = wait > max(self.length, 60.0) + ROUNDING
        return longer or (self.remaining > 0 and heard.code is not None and heard.code.endswith("quota-exceeded"))


def _whole(length: float) -> float:
    """A window's length from an answer whose times are whole seconds: 61 of 60."""
    tens = length // 10 * 10
    return tens if tens and length - tens <= 1.0 else length
