"""The demo's account of its pages."""

from tocsin.core.paging.feedback import ChannelKey, End, Intent, IntentId, Outcome
from tocsin.core.paging.limits import PagingLimits
from tocsin.ops.demo.pages import Pages, unended
from tocsin.ops.demo.receiver import Bundle, Receiver

CHANNEL = ChannelKey("ada", "hook", "high")


def pages(*bundles: Bundle) -> Pages:
    receiver = Receiver()
    receiver._bundles = {one.id: one for one in bundles}
    found = Pages(receiver, "key", ("ada",), ("a", "b"), PagingLimits())
    for incident in ("0x1", "0x2", "0x3"):
        found.expect(f"{incident}.abc")
    return found


def bundle(id: str, *new: str, region: str = "a", received_us: int = 2_000) -> Bundle:
    return Bundle(id, region, "ada", 1_000, received_us, new)


def test_what_did_not_come_is_missed() -> None:
    account = pages(bundle("a-1", "0x1", "0x2")).account([])
    assert (account.due, account.missed, account.sent, account.duplicate) == (3, 1, 1, 0)
    assert not account.ok


def test_a_page_that_tells_again_counts_once_however_much_it_tells() -> None:
    first = bundle("a-1", "0x1", "0x2", "0x3")
    again = bundle("b-1", "0x1", "0x2", "0x3", region="b", received_us=3_000)
    account = pages(first, again).account([])
    assert (account.missed, account.duplicate, account.duplicate_cut) == (0, 1, 0)
    assert not account.ok


def test_what_is_told_again_while_mirrors_are_cut_is_counted_apart() -> None:
    found = pages(bundle("a-1", "0x1", "0x2", "0x3"), bundle("b-1", "0x3", region="b", received_us=3_000))
    found.cut.add("0x3")
    account = found.account([])
    assert (account.duplicate, account.duplicate_cut) == (0, 1)


def test_pages_whose_end_nobody_is_sure_of_are_in_flight() -> None:
    intents = [Intent(IntentId("a", 1, n), CHANNEL, b"", 0, 0, 0, "due") for n in range(3)]
    ends = [
        End(intents[0].id, CHANNEL, Outcome.DELIVERED, 1),
        End(intents[1].id, CHANNEL, Outcome.UNKNOWN, 1),
    ]
    assert len(unended([*intents, *ends])) == 2


def test_a_page_of_another_user_partition_with_the_same_id_ends_for_itself_alone() -> None:
    other = CHANNEL._replace(user="somebody-else")
    intents = [Intent(IntentId("a", 1, 0), channel, b"", 0, 0, 0, "due") for channel in (CHANNEL, other)]
    assert unended([*intents, End(intents[0].id, CHANNEL, Outcome.DELIVERED, 1)]) == {(intents[1].id, other)}


def test_regions_that_do_not_share_the_work_are_no_good_account() -> None:
    found = pages(*(bundle(f"a-{n}", f"0x{n}") for n in (1, 2, 3)))
    found.calm |= {"0x1", "0x2", "0x3"}
    account = found.account([])
    assert account.shares == {"a": 1.0, "b": 0.0}
    assert not account.ok


def test_all_told_once_by_both_regions_is_as_it_should_be() -> None:
    found = pages(bundle("a-1", "0x1", "0x2"), bundle("b-1", "0x3", region="b"))
    found.calm |= {"0x1", "0x2", "0x3"}
    account = found.account([])
    assert account.shares == {"a": 0.5, "b": 0.5}
    assert account.ok
