"""The roster by itself: one order of words, one state, for whoever reads them and from wherever he begins."""

import itertools
import random
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
import pytest

from tocsin.engines.kafka.roster import Holder, Member, Place, Roster, Vigil, Word, decode_word

PLACES = [Place("g", number) for number in range(3)]


def roster_of(words: Iterable[Word]) -> Roster:
    roster = Roster()
    for word in words:
        roster.apply(word)
    return roster


def takes(member: str, number: int, *places: int, **more: object) -> Word:
    return Word(member, number, takes=tuple(PLACES[place] for place in places), **more)  # type: ignore[arg-type]


def holds(member: str, number: int, **epochs: int) -> Word:
    """`p0=1`: partition 0 under epoch 1."""
    return Word(member, number, holds=tuple((PLACES[int(name[1:])], epoch) for name, epoch in epochs.items()))


def leaves(member: str, number: int) -> Word:
    return Word(member, number, leaves=True)


A_HAS_0 = (takes("a", 1, 0),)


@pytest.mark.parametrize(
    ("words", "holders"),
    [
        (A_HAS_0, {0: ("a", 1)}),
        ((*A_HAS_0, takes("b", 1, 0)), {0: ("a", 1)}),  # the first has it
        ((*A_HAS_0, takes("b", 1, 0, 1)), {0: ("a", 1), 1: ("b", 2)}),
        ((*A_HAS_0, holds("a", 2, p0=1)), {0: ("a", 1)}),
        ((*A_HAS_0, holds("a", 2)), {}),  # what is not listed is given up
        ((*A_HAS_0, holds("a", 2), takes("b", 1, 0)), {0: ("b", 2)}),
        ((*A_HAS_0, leaves("a", 2), takes("b", 1, 0)), {0: ("b", 2)}),
        ((*A_HAS_0, leaves("a", 2), takes("b", 1, 0), holds("a", 2, p0=1)), {0: ("b", 2)}),  # buried, then speaks
        ((*A_HAS_0, holds("a", 2, p0=1), leaves("a", 2)), {0: ("a", 1)}),  # speaks, then is buried: it lives
        ((*A_HAS_0, *A_HAS_0), {0: ("a", 1)}),
        ((*A_HAS_0, holds("a", 3), takes("a", 2, 1)), {}),  # an older word comes late
        ((*A_HAS_0, leaves("a", 2), holds("a", 3, p0=1)), {0: ("a", 1)}),  # its second was before our time: it lived
        ((*A_HAS_0, leaves("a", 2), takes("b", 1, 0), holds("a", 3, p0=1)), {0: ("b", 2)}),
        ((leaves("a", 1), takes("b", 1, 0)), {0: ("b", 1)}),
        ((Word("b", 9, top=41, leaves=True), takes("a", 1, 0)), {0: ("a", 42)}),  # and where who left knew
        ((takes("a", 1, 0, top=41),), {0: ("a", 42)}),  # epochs go on where the member knows that they were
    ],
)
def test_of_words_in_one_order_there_is_one_state(words: Sequence[Word], holders: dict[int, tuple[str, int]]) -> None:
    assert roster_of(words).holders == {PLACES[place]: Holder(*holder) for place, holder in holders.items()}


def test_a_word_is_the_same_after_the_log() -> None:
    word = Word("m", 3, "process 1 on h", 7, ((PLACES[0], 5),), (PLACES[1],), (PLACES[1], PLACES[2]))
    assert decode_word(word.encode()) == word
    assert decode_word(b'{"member":"m","number":1,"mood":"fine"}') == Word("m", 1)  # of a later version


# Any history of members that keep to the rules -----------------------------------------------------------------------


class History:
    """Words of members that read late, take, give up, bury each other and leave, in one random order."""

    def __init__(self, seed: int, length: int) -> None:
        self.words: list[Word] = []
        self._random = random.Random(seed)
        self._last: dict[str, int] = {}
        """Where each member's last word stands."""
        self._names = itertools.count()
        while len(self.words) < length:
            self._step()

    @property
    def living(self) -> list[str]:
        return [member for member in self._last if not roster_of(self.words).is_gone(member)]

    def _step(self) -> None:
        member = self._random.choice([*self._last, ""]) or f"m{next(self._names)}"
        read_to = self._random.randint(self._last.get(member, -1) + 1, len(self.words))
        seen = roster_of(self.words[:read_to])
        if seen.is_gone(member):
            del self._last[member]
            return
        others = sorted(seen.members.keys() - {member})
        if others and self._random.random() < 0.15:
            other = self._random.choice(others)
            self.words.append(leaves(other, seen.members[other].number + 1))
        self.speak(member, seen)

    def speak(self, member: str, seen: Roster) -> None:
        known = seen.members.get(member)
        had = seen.held_by(member)
        held = {place: epoch for place, epoch in had.items() if self._random.random() < 0.8}
        wanted = tuple(place for place in PLACES if place not in had and self._random.random() < 0.4)
        number = (known.number if known else 0) + 1
        self._last[member] = len(self.words)
        self.words.append(Word(member, number, top=seen.top, holds=tuple(held.items()), takes=wanted))


@pytest.mark.parametrize("seed", range(60))
def test_no_epoch_comes_twice_and_nobody_takes_what_another_has(seed: int) -> None:
    roster, given = Roster(), 0
    for word in History(seed, 40).words:
        before = dict(roster.holders)
        roster.apply(word)
        for place, holder in roster.holders.items():
            if before.get(place) == holder:
                continue
            assert place not in before  # it was free
            assert place in word.takes
            assert holder.member == word.member
            assert holder.epoch > given
            given = holder.epoch


class Rest:
    """A history that comes to rest: every living member speaks twice more, and takes nothing."""

    def __init__(self, history: History) -> None:
        self._whole = roster_of(history.words)
        self._living = history.living
        self._said: list[Word] = []
        for member in [*self._living, *self._living]:
            number, held = self._whole.members[member].number + 1, tuple(self._whole.held_by(member).items())
            self._said.append(Word(member, number, top=self._whole.top, holds=held))
            self._whole.apply(self._said[-1])

    def check(self, past: Sequence[Word]) -> None:
        """A reader of this past has the same state, once all that live have spoken and who did not was buried."""
        part = roster_of([*past, *self._said])
        for member in part.members.keys() - set(self._living):
            part.apply(leaves(member, part.members[member].number + 1))
        for word in self._said:
            part.apply(msgspec.structs.replace(word, number=word.number + len(self._said)))
        assert part.holders == self._whole.holders
        assert part.top >= self._whole.top


@pytest.mark.parametrize("seed", range(60))
def test_a_reader_that_begins_anywhere_comes_to_the_same_state(seed: int) -> None:
    history = History(seed, 30)
    rest = Rest(history)
    for begin in range(30):
        rest.check(history.words[begin:])


@pytest.mark.parametrize("seed", range(60))
def test_a_reader_of_what_compaction_left_comes_to_the_same_state(seed: int) -> None:
    history = History(seed, 30)
    rest = Rest(history)
    for end in range(30):
        last = {word.member: at for at, word in enumerate(history.words[:end])}
        rest.check([word for at, word in enumerate(history.words) if at >= end or at == last[word.member]])


# Shares --------------------------------------------------------------------------------------------------------------


def state(owners: Sequence[str], wants: dict[str, set[int]]) -> Roster:
    """Who has each partition number ("" for nobody), and who wants which."""
    words = []
    for member, wanted in wants.items():
        held = tuple((Place("g", n), n + 1) for n, owner in enumerate(owners) if owner == member)
        places = tuple(Place("g", number) for number in sorted(wanted))
        words.append(Word(member, 1, holds=held, wants=(*places, Place("other", 0))))
    return roster_of(words)


@pytest.mark.parametrize("members", ["a", "ab", "abc", "abcd"])
def test_shares_are_even_stable_and_move_no_more_than_they_must(members: str) -> None:
    everything = {member: set(range(5)) for member in members}
    for owners in itertools.product(["", *members], repeat=5):
        shares = state(owners, everything).shares("g")
        counts = Counter(shares.values())
        assert set(shares) == set(range(5))
        assert max(counts.values()) - min(counts[member] for member in members) <= 1
        again = state([shares[number] for number in range(5)], everything).shares("g")
        assert again == shares
        held = Counter(owner for owner in owners if owner)
        moves = sum(1 for number, owner in enumerate(owners) if owner and shares[number] != owner)
        assert moves == fewest_moves(held, members)


def fewest_moves(held: Counter[str], members: str) -> int:
    """What the largest owners have above an even share."""
    share, larger = divmod(5, len(members))
    ranked = sorted((held[member] for member in members), reverse=True)
    return sum(max(0, count - share - (rank < larger)) for rank, count in enumerate(ranked))


def test_what_one_alone_wants_is_his_however_much_he_has() -> None:
    assert state(["a", "a", "a", ""], {"a": {0, 1, 2, 3}, "b": set()}).shares("g") == dict.fromkeys(range(4), "a")
    assert state(["a", "a", "a", ""], {"a": {0, 1, 2, 3}, "b": {3}}).shares("g") == {0: "a", 1: "a", 2: "a", 3: "b"}
    assert state(["a", "a"], {"a": {0, 1}, "b": {0}, "c": {7}}).shares("g") == {0: "b", 1: "a", 7: "c"}
    assert Roster().shares("g") == {}


# Silence -------------------------------------------------------------------------------------------------------------


def members(**numbers: int) -> dict[str, Member]:
    return {name: Member(number, name, frozenset()) for name, number in numbers.items()}


def test_who_says_nothing_for_a_session_is_silent_and_who_speaks_is_not() -> None:
    vigil = Vigil(10)
    for now_s in range(11):
        vigil.look(members(talks=now_s, dead=1), now_s)
        assert vigil.silent() == []
    vigil.look(members(talks=11, dead=1), 11)
    assert vigil.silent() == ["dead"]
    assert (vigil.lives("talks"), vigil.lives("dead"), vigil.lives("nobody")) == (True, False, False)


def test_of_whom_nothing_was_read_since_we_began_may_be_dead_or_not() -> None:
    vigil = Vigil(10)
    vigil.look(members(old=5), 0)
    assert not vigil.lives("old")
    assert vigil.silent() == []
    vigil.look(members(old=6, new=1), 1)
    assert vigil.lives("old")
    assert vigil.lives("new")


def test_a_time_in_which_we_heard_nothing_ourselves_counts_against_nobody() -> None:
    vigil = Vigil(10)
    vigil.look(members(a=1), 0)
    vigil.look(members(a=2), 3)
    vigil.look(members(a=2), 60)
    assert vigil.silent() == []
    assert not vigil.lives("a")
    for now_s in (64, 68, 71):
        vigil.look(members(a=2), now_s)
    assert vigil.silent() == ["a"]
