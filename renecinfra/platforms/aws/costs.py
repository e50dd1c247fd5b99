"""What a plan costs in a month, as a range, from a small table of prices. An estimate without network."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final

from renecinfra.profiles.instances import machine
from renecinfra.terraform.plan import Plan, ResourceChange

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Range:
    """US dollars a month: in a quiet month, and in a busy one with everything scaled out."""

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        return Range(self.low - other.low, self.high - other.high)


NOTHING: Final = Range(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class CostChange:
    """How one resource changes the bill."""

    address: str
    before: Range
    after: Range

    @property
    def difference(self) -> Range:
        """What a month costs more, or less."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a plan: what changes the bill, what it cannot price, and where the prices are from.

    ``before`` and ``after`` are the whole environment's, as far as the plan shows it.
    """

    changes: tuple[CostChange, ...]
    unpriced: tuple[str, ...]
    before: Range
    after: Range
    as_of: date
    source: str

    @property
    def difference(self) -> Range:
        """What a month costs more, or less, by this plan."""
        return self.after - self.before

    def document(self) -> dict[str, Any]:
        """For machines; documented in docs/reference/json.md."""
        return {
            "currency": "USD",
            "per": "month",
            "difference": _numbers(self.difference),
            "after": _numbers(self.after),
            "changes": [{"address": c.address, **_numbers(c.difference)} for c in self.changes],
            "unpriced": list(self.unpriced),
            "prices": {"as_of": self.as_of.isoformat(), "source": self.source},
        }


def estimate(plan: Plan, region: str) -> Estimate:
    """What the plan changes in a month's bill.

    Args:
        plan: of the AWS stack.
        region: the environment's; others' prices are derived from it.
    """
    table = prices()
    factor = table["regions"].get(region, None)
    low, high = (factor, factor) if factor is not None else table["unknown_region"]
    changes, unpriced = [], []
    before_all, after_all = NOTHING, NOTHING
    for change in plan.changes:
        found = _priced(change, table)
        if found is None:
            unpriced.append(change.address)
            continue
        before, after = (Range(part.low * low, part.high * high) for part in found)
        before_all, after_all = before_all + before, after_all + after
        if before != after:
            changes.append(CostChange(change.address, before, after))
    ordered = sorted(changes, key=lambda change: -abs(change.difference.low))
    return Estimate(
        tuple(ordered),
        tuple(unpriced),
        before_all,
        after_all,
        date.fromisoformat(table["as_of"]),
        table["source"],
    )


@cache
def prices() -> dict[str, Any]:
    """The table of prices, with its date and source."""
    text = resources.files(__package__).joinpath("prices.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


class _UnknownPriceError(LookupError):
    """The table has no price for it."""


def _priced(change: ResourceChange, table: Mapping[str, Any]) -> tuple[Range, Range] | None:
    """What it cost and will cost; None where the table does not know."""
    price = _PRICES.get(change.type)
    if price is None or change.action == "read":
        return NOTHING, NOTHING  # without a price of its own: policies, rules, records …
    try:
        before = _sum(price(change.before, table)) if isinstance(change.before, Mapping) else NOTHING
        if change.action in ("delete", "forget"):
            return before, NOTHING
        after = _sum(price(change.after, table)) if isinstance(change.after, Mapping) else NOTHING
    except _UnknownPriceError:
        return None
    return before, after


def _sum(parts: Iterator[Range]) -> Range:
    return sum(parts, NOTHING)


def _hourly(table: Mapping[str, Any], price: float, count: float = 1, most: float | None = None) -> Range:
    month = table["hours_per_month"] * price
    return Range(month * count, month * (count if most is None else most))


def _looked_up(prices: Mapping[str, float], name: object) -> float:
    if not isinstance(name, str) or name not in prices:
        raise _UnknownPriceError(str(name))
    return prices[name]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _first(value: object) -> Attributes:
    return value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else {}


def _used(table: Mapping[str, Any], amount: str, price: str) -> Range:
    low, high = table["usage"][amount]
    return Range(low * table["usage"][price], high * table["usage"][price])


def _nodes(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    types = it.get("instance_types")
    name = types[0] if isinstance(types, list) and types else None
    size = machine(name) if isinstance(name, str) else None
    if size is None or not isinstance(name, str):
        raise _UnknownPriceError(str(name))
    per_node = _looked_up(table["ec2_per_vcpu_hour"], name.partition(".")[0]) * size.cpus
    scaling = _first(it.get("scaling_config"))
    least, most = _number(scaling.get("min_size")), _number(scaling.get("max_size"))
    yield _hourly(table, per_node, least, most)
    disk = 50 * table["gib_month"]["ebs"]
    yield Range(disk * least, disk * most)


def _database(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    copies = 2 if it.get("multi_az") is True else 1
    yield _hourly(table, _looked_up(table["rds_hour"], it.get("instance_class")), copies)
    gib, most = _number(it.get("allocated_storage")), _number(it.get("max_allocated_storage"))
    per_gib = table["gib_month"]["rds"] * copies
    yield Range(gib * per_gib, max(gib, most) * per_gib)
    if it.get("manage_master_user_password") is True:
        yield Range(table["month"]["secret"], table["month"]["secret"])


def _replication_group(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    yield _hourly(
        table, _looked_up(table["cache_hour"], it.get("node_type")), _number(it.get("num_cache_clusters"))
    )


def _endpoint(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    if it.get("vpc_endpoint_type") == "Interface":
        subnets = it.get("subnet_ids")
        count = len(subnets) if isinstance(subnets, list) else 3
        yield _hourly(table, table["hour"]["interface_endpoint_zone"], count)


def _web_acl(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    rules = it.get("rule")
    fixed = table["month"]["web_acl"] + table["month"]["web_acl_rule"] * (
        len(rules) if isinstance(rules, list) else 0
    )
    yield Range(fixed, fixed)
    yield _used(table, "web_requests_million", "web_million_price")


def _copies(it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    """Snapshots in two vaults: of a database that is nearly empty, or one of 200 GiB that changes a lot."""
    rule = _first(it.get("rule"))
    days = _number(_first(rule.get("lifecycle")).get("delete_after"))
    price = table["gib_month"]["snapshot"] * 2
    yield Range(5 * price, 200 * price * (1 + days / 35))


def _fixed(kind: str, name: str) -> Callable[[Attributes, Mapping[str, Any]], Iterator[Range]]:
    def price(_it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
        if kind == "hour":
            yield _hourly(table, table["hour"][name])
        else:
            yield Range(table["month"][name], table["month"][name])

    return price


def _with_use(
    fixed: str | None, amount: str, price: str
) -> Callable[[Attributes, Mapping[str, Any]], Iterator[Range]]:
    def both(_it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
        if fixed is not None:
            yield _hourly(table, table["hour"][fixed])
        yield _used(table, amount, price)

    return both


def _bucket(_it: Attributes, table: Mapping[str, Any]) -> Iterator[Range]:
    low, high = table["usage"]["bucket_gib"]
    yield Range(low * table["gib_month"]["s3"], high * table["gib_month"]["s3"])


_PRICES: Final[Mapping[str, Callable[[Attributes, Mapping[str, Any]], Iterator[Range]]]] = {
    "aws_backup_plan": _copies,
    "aws_cloudfront_distribution": _with_use(None, "cdn_gib", "cdn_gib_price"),
    "aws_cloudwatch_log_group": _with_use(None, "log_group_gib", "log_gib_price"),
    "aws_cloudwatch_metric_alarm": _fixed("month", "alarm"),
    "aws_db_instance": _database,
    "aws_eip": _fixed("hour", "public_address"),
    "aws_eks_cluster": _fixed("hour", "eks_cluster"),
    "aws_eks_node_group": _nodes,
    "aws_elasticache_replication_group": _replication_group,
    "aws_kms_key": _fixed("month", "kms_key"),
    "aws_lb": _with_use("load_balancer", "lcu_hours", "lcu_price"),
    "aws_nat_gateway": _with_use("nat_gateway", "nat_gib", "nat_gib_price"),
    "aws_route53_health_check": _fixed("month", "health_check"),
    "aws_s3_bucket": _bucket,
    "aws_vpc_endpoint": _endpoint,
    "aws_wafv2_web_acl": _web_acl,
}


def _numbers(found: Range) -> dict[str, float]:
    return {"low": round(found.low, 2), "high": round(found.high, 2)}
