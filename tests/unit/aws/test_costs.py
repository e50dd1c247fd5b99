from __future__ import annotations

from typing import Any

import pytest

from renecinfra.platforms.aws import costs
from renecinfra.terraform.plan import Plan, ResourceChange

DATABASE = {
    "instance_class": "db.m7g.large",
    "multi_az": True,
    "allocated_storage": 100,
    "max_allocated_storage": 100,
}


def change(kind: str, before: Any, after: Any, action: Any = "update") -> ResourceChange:
    return ResourceChange(f"{kind}.this", kind, action, before, after)


def estimate(*changes: ResourceChange, region: str = "us-east-1") -> costs.Estimate:
    return costs.estimate(Plan(changes, (), {}, "1.11"), region)


def test_a_database_costs_its_hours_and_its_storage_twice_over_two_zones():
    found = estimate(change("aws_db_instance", None, DATABASE, "create"))
    assert found.difference.low == pytest.approx(730 * 0.168 * 2 + 100 * 0.115 * 2)
    assert found.difference.low == found.difference.high
    grown = estimate(change("aws_db_instance", None, {**DATABASE, "max_allocated_storage": 500}, "create"))
    assert grown.difference.high > grown.difference.low


def test_nodes_cost_what_autoscaling_may_make():
    group = {"instance_types": ["m7i.large"], "scaling_config": [{"min_size": 3, "max_size": 8}]}
    found = estimate(change("aws_eks_node_group", None, group, "create")).difference
    assert found.high / found.low == pytest.approx(8 / 3)


def test_a_change_costs_the_difference_and_a_deletion_saves():
    smaller = {**DATABASE, "multi_az": False}
    found = estimate(change("aws_db_instance", DATABASE, smaller))
    assert found.difference.low == pytest.approx(-(730 * 0.168 + 100 * 0.115))
    gone = estimate(change("aws_db_instance", DATABASE, None, "delete"))
    assert gone.difference.low < found.difference.low
    assert gone.after == costs.NOTHING


def test_what_has_no_price_is_named_and_not_counted():
    found = estimate(change("aws_db_instance", None, {**DATABASE, "instance_class": "db.x9z.huge"}, "create"))
    assert found.unpriced == ("aws_db_instance.this",)
    assert found.difference == costs.NOTHING


def test_what_costs_nothing_by_itself_is_left_out():
    assert estimate(change("aws_iam_role", None, {}, "create")).changes == ()


def test_other_regions_are_dearer_and_unknown_ones_are_a_wider_range():
    home = estimate(change("aws_db_instance", None, DATABASE, "create")).difference
    away = estimate(change("aws_db_instance", None, DATABASE, "create"), region="sa-east-1").difference
    unknown = estimate(change("aws_db_instance", None, DATABASE, "create"), region="xx-nowhere-1").difference
    assert away.low > home.low
    assert unknown.low == home.low
    assert unknown.high > home.high


def test_the_table_says_when_and_where_its_prices_are_from():
    document = estimate(change("aws_db_instance", None, DATABASE, "create")).document()
    assert document["prices"]["as_of"] <= "2026-11-25"
    assert document["prices"]["source"]
    assert document["difference"]["low"] > 0


def test_every_price_is_used_and_above_nothing():
    table = costs.prices()
    for part in ("ec2_per_vcpu_hour", "rds_hour", "cache_hour", "hour", "month", "gib_month", "regions"):
        assert all(value > 0 for value in table[part].values()), part
