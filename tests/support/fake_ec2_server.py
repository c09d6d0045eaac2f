"""A program for the laptop of a lab: AWS by moto, and the metadata that machines read of themselves.

It prints a line whenever a machine has changed. `fake_ec2.py` starts it, and the lab's hosts accordingly.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.instances import InstanceResponse
from moto.server import ThreadedMotoServer

from tests.support.aws_accounts import REGION, furnish

LAPTOP, PORT, METADATA_PORT = "10.77.0.1", 5700, 5701
NETWORK = "10.77.0.0/24"
ENDPOINT = f"http://{LAPTOP}:{PORT}"
CREDENTIALS = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{LAPTOP}:{METADATA_PORT}",
}
LOOK_S = 0.5


def serve(folder: Path) -> None:
    """Serves until standard input ends. In `folder`, the file `refused` has the machines that are short, as `spot
    g5.xlarge` on a line of its own; a file `notice-ADDRESS` has the notice for the spot machine there."""
    like_ec2(folder / "refused")
    ThreadedMotoServer(ip_address=LAPTOP, port=PORT, verbose=False).start()
    metadata = ThreadingHTTPServer((LAPTOP, METADATA_PORT), metadata_of(folder))
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    how = {"endpoint_url": ENDPOINT, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    furnish(**how)
    ec2 = boto3.client("ec2", region_name=REGION, **how)
    vpc = ec2.create_vpc(CidrBlock=NETWORK)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=NETWORK, AvailabilityZone=f"{REGION}a")["Subnet"]["SubnetId"]
    print(json.dumps({"subnet": subnet}), flush=True)
    threading.Thread(target=tell_machines, args=(ec2,), daemon=True).start()
    sys.stdin.read()


def like_ec2(refused: Path) -> None:
    """Has moto start as many machines as EC2 would, not the least that is asked; none that are short."""
    usual, parameter = InstanceResponse.run_instances, InstanceResponse._get_param

    def run_instances(self):
        market = self._get_param("InstanceMarketOptions.MarketType") or "on-demand"
        kind = f"{market} {self._get_param('InstanceType')}"
        if refused.exists() and kind in refused.read_text().splitlines():
            raise EC2ClientError("InsufficientInstanceCapacity", f"There is no capacity for {kind}.")
        return usual(self)

    def get_param(self, name, *more, **how):
        return parameter(self, "MaxCount" if name == "MinCount" else name, *more, **how)

    InstanceResponse.run_instances, InstanceResponse._get_param = run_instances, get_param


def tell_machines(ec2: Any) -> None:
    """Prints all machines whenever one has changed: a line of JSON."""
    told = None
    while True:
        groups = ec2.describe_instances()["Reservations"]
        found = [facts_of(one) for group in groups for one in group["Instances"]]
        if found != told:
            print(json.dumps({"machines": found}), flush=True)
            told = found
        time.sleep(LOOK_S)


def facts_of(one: dict[str, Any]) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in one.get("Tags", ())}
    return {
        "id": one["InstanceId"],
        "state": one["State"]["Name"],
        "address": one.get("PrivateIpAddress", ""),
        "kind": tags.get("ray-node-type", ""),
        "row": tags.get("ray-user-node-type", ""),
    }


def metadata_of(folder: Path) -> type[BaseHTTPRequestHandler]:
    """The metadata service: it wants a token, and knows of spot notices."""

    class Metadata(BaseHTTPRequestHandler):
        def do_PUT(self):
            self.answer(200, b"a-token")

        def do_GET(self):
            notice = folder / f"notice-{self.client_address[0]}"
            if self.headers.get("X-aws-ec2-metadata-token") != "a-token":
                self.answer(401, b"")
            elif self.path == "/latest/meta-data/spot/instance-action" and notice.exists():
                self.answer(200, notice.read_bytes())
            else:
                self.answer(404, b"")

        def answer(self, code, body):
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *what):
            pass

    return Metadata


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
