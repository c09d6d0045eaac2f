"""The prices of AWS's machines, as its price list and its spot price history answer."""

import json
from datetime import UTC, datetime

import boto3
import pytest
from botocore.stub import ANY, Stubber

from orchestrator.clusters.aws import prices as aws_prices
from orchestrator.clusters.aws.prices import PriceList

ZONES = ("us-west-2a", "us-west-2b")


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "for-tests")


@pytest.fixture
def aws(monkeypatch):
    """Stubs of the clients, by service, with the region each was made for."""
    stubs = {}

    def client(service, region):
        known, stubs[service] = stubs[service], region
        return known

    monkeypatch.setattr(aws_prices, "_client", client)

    def answers(service, action, answer, question=None):
        real = boto3.client(service, region_name="us-east-1")
        stub = Stubber(real)
        if isinstance(answer, str):
            stub.add_client_error(action, answer)
        else:
            stub.add_response(action, answer, question)
        stub.activate()
        stubs[service] = real
        return stubs

    return answers


def product(*prices, unit="Hrs"):
    dimensions = {str(i): {"unit": unit, "pricePerUnit": {"USD": str(usd)}} for i, usd in enumerate(prices)}
    return json.dumps({"product": {}, "terms": {"OnDemand": {"a term": {"priceDimensions": dimensions}}}})


def test_a_machine_on_demand_costs_what_the_price_list_says_of_a_plain_one_in_the_region(aws):
    filters = {"instanceType": "g5.2xlarge", "regionCode": "us-west-2", **aws_prices.PLAIN}
    question = {
        "ServiceCode": "AmazonEC2",
        "Filters": [
            {"Type": "TERM_MATCH", "Field": name, "Value": filters[name]}
            for name in (*aws_prices.PLAIN, "instanceType", "regionCode")
        ],
    }
    listed = {"PriceList": [product("1.2120000000", "0.0"), product("99", unit="Quantity")]}
    stubs = aws("pricing", "get_products", listed, question)
    assert PriceList("us-west-2", ZONES).usd_per_hour("g5.2xlarge", spot=False) == 1.212
    assert stubs == {"pricing": "us-east-1"}


def test_a_spot_machine_costs_the_dearest_of_the_zones_that_are_used(aws):
    prices = {"us-west-2a": "0.45", "us-west-2b": "0.51", "us-west-2c": "9.0"}
    history = [
        {"AvailabilityZone": zone, "SpotPrice": usd, "Timestamp": datetime.now(UTC)} for zone, usd in prices.items()
    ]
    question = {"InstanceTypes": ["g5.2xlarge"], "ProductDescriptions": ["Linux/UNIX"], "StartTime": ANY}
    stubs = aws("ec2", "describe_spot_price_history", {"SpotPriceHistory": history}, question)
    assert PriceList("us-west-2", ZONES).usd_per_hour("g5.2xlarge", spot=True) == 0.51
    assert stubs == {"ec2": "us-west-2"}


@pytest.mark.parametrize(
    "answer", [{"PriceList": []}, "AccessDeniedException", "ExpiredTokenException"], ids=["none", "denied", "expired"]
)
def test_a_price_that_aws_does_not_tell_is_unknown(aws, answer):
    aws("pricing", "get_products", answer)
    assert PriceList("us-west-2", ZONES).usd_per_hour("g5.2xlarge", spot=False) is None


def test_without_credentials_all_prices_are_unknown(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    prices = PriceList("us-west-2", ZONES)
    assert [prices.usd_per_hour("g5.2xlarge", spot) for spot in (False, True)] == [None, None]
