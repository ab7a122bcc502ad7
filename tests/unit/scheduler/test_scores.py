"""Scores relative to other nodes, against numbers worked out by kube-scheduler's formulas."""

import math

import pytest

from lateen.cluster.scheduler.scores import Liking, Near, crowding, drawn, liked, spread, spread_by_default


def test_preferences_are_relative_to_the_best_and_taints_to_the_worst() -> None:
    likings = {"a": Liking(30, 0), "b": Liking(60, 2), "c": Liking(0, 1), "out": Liking(100, 9)}
    assert liked(likings, {"a", "b", "c", "plain"}) == {"a": 100, "b": 200 - 300, "c": -150}


def test_spreading_turns_the_scale_around() -> None:
    assert spread({"empty": 2.0, "half": 6.0, "full": 8.0}) == {"empty": 200, "half": 100, "full": 50}
    assert spread({"alone": 4.0}) == {"alone": 200}
    assert spread({"nobody": 0.0}) == {"nobody": 200}


def test_crowding_weighs_constraints_by_the_number_of_their_domains() -> None:
    assert crowding([(3, 2, 1), (1, 8, 5)]) == pytest.approx(3 * math.log(4) + 0 + math.log(10) + 4)


def test_by_default_hosts_and_zones_count() -> None:
    places = [Near(1, "a"), Near(0, "a"), Near(0, "b")]
    worth = spread_by_default(places, {"a": 1, "b": 0}, nodes=3)
    host, zone = math.log(5), math.log(4)
    crowds = [host + 2 + zone + 4, 2 + zone + 4, 6]
    assert [worth[p] for p in places] == pytest.approx([200 * (crowds[0] + crowds[2] - c) / crowds[0] for c in crowds])


def test_affinity_spans_the_scale() -> None:
    assert drawn({"near": 30.0, "far": -10.0, "between": 10.0}) == {"near": 200, "far": 0, "between": 100}
    assert drawn({"one": 5.0, "other": 5.0}) == {}
