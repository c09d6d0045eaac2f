"""What machines of AWS cost an hour, where a cluster file does not say: the price list, and the latest spot prices."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

PRICE_LIST_REGION = "us-east-1"  # one of the few that answer for all regions
LINUX = "Linux/UNIX"  # as spot prices name it
PLAIN = {  # on a machine of nobody else's, without a paid operating system or a reservation
    "operatingSystem": "Linux",
    "preInstalledSw": "NA",
    "tenancy": "Shared",
    "capacitystatus": "Used",
}
ANSWER_S, ATTEMPTS = 5, 2


@dataclass(frozen=True)
class PriceList:
    """The prices of a region and its zones, whole names such as us-west-2a. Prices are None where AWS tells none."""

    region: str
    zones: tuple[str, ...]

    def usd_per_hour(self, instance: str, spot: bool) -> float | None:
        """Dollars an hour of an instance type: the dearest zone's latest price for spot."""
        return _answer(self._spot if spot else self._on_demand, instance)

    def _on_demand(self, instance: str) -> float | None:
        wanted = PLAIN | {"instanceType": instance, "regionCode": self.region}
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        products = self.pricing.get_products(ServiceCode="AmazonEC2", Filters=filters)["PriceList"]
        return max((usd for product in products for usd in _hourly(json.loads(product))), default=None)

    def _spot(self, instance: str) -> float | None:
        how = {"InstanceTypes": [instance], "ProductDescriptions": [LINUX], "StartTime": datetime.now(UTC)}
        known = self.ec2.describe_spot_price_history(**how)["SpotPriceHistory"]
        return max((float(one["SpotPrice"]) for one in known if one["AvailabilityZone"] in self.zones), default=None)

    @cached_property
    def pricing(self) -> Any:
        return _client("pricing", PRICE_LIST_REGION)

    @cached_property
    def ec2(self) -> Any:
        return _client("ec2", self.region)


def _hourly(product: dict[str, Any]) -> Iterable[float]:
    """The prices of a product of the price list: its terms, their dimensions, the dollars of each."""
    for term in product["terms"].get("OnDemand", {}).values():
        for dimension in term["priceDimensions"].values():
            if dimension["unit"] == "Hrs" and float(dimension["pricePerUnit"].get("USD", 0)):
                yield float(dimension["pricePerUnit"]["USD"])


def _answer(question: Callable[[str], float | None], instance: str) -> float | None:
    """None where credentials lack or do not allow it, or AWS cannot be reached: a price is told, not needed."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    with suppress(BotoCoreError, ClientError, ResponseParserError):
        return question(instance)
    return None


def _client(service: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    patience = {"connect_timeout": ANSWER_S, "read_timeout": ANSWER_S, "retries": {"max_attempts": ATTEMPTS}}
    return boto3.client(service, region_name=region, config=Config(**patience))
