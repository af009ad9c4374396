"""Nobody's region is broken by habit, and never the last one that serves."""

from tocsin.ops.drills.guard import refusal

REGIONS = ("eu-central-1", "eu-west-1")


def test_a_region_that_is_not_typed_out_is_not_broken() -> None:
    assert "type it out with --region" in refusal(None, REGIONS, serving=REGIONS)


def test_a_region_that_is_mistyped_is_not_broken() -> None:
    assert "did you mean 'eu-west-1'" in refusal("eu-west1", REGIONS, serving=REGIONS)


def test_the_last_region_that_serves_is_not_broken() -> None:
    assert "outage and no drill" in refusal("eu-west-1", REGIONS, serving=["eu-west-1"])
    assert "outage and no drill" in refusal("eu-west-1", REGIONS, serving=[])


def test_a_region_that_is_typed_out_while_a_peer_serves_may_be_broken() -> None:
    assert refusal("eu-west-1", REGIONS, serving=["eu-central-1"]) == ""
