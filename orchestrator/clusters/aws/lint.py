"""Checks a file of Ray's cluster launcher without a network: by Ray, by AWS's model of its own requests, and by us.

Ray takes any `node_config` and any key of `provider`, so it finds no misspelt word there; AWS's model does.
"""

import copy
from collections.abc import Iterator
from typing import Any

from orchestrator.clusters.aws.render import offline, render
from orchestrator.errors import UserError

PROVIDER = (  # what Ray reads there for AWS; but for credentials, which would go to the head
    *("type", "region", "availability_zone", "cache_stopped_nodes", "use_internal_ips", "use_external_head_ip"),
    *("security_group", "key_pair", "cloudwatch", "disable_node_updaters", "disable_launch_config_check"),
)
OURS = (  # what must stay as it is, or a machine is not found again or outlives its cluster
    ("cluster_name",),
    ("head_node_type",),
    ("provider", "type"),
    ("provider", "region"),
    ("provider", "cache_stopped_nodes"),
)
ROWS = "available_node_types"
OF_EACH_ROW = ("InstanceInitiatedShutdownBehavior", "UserData", "KeyName", "TagSpecifications")


def lint(record) -> None:
    """Raises UserError for what can be found wrong without a network, a line for each problem."""
    plain = record.model_copy(update={"ray": {}})
    if wrong := problems(record, render(record, offline(record)), render(plain, offline(plain))):
        raise UserError(*wrong)


def problems(record, made: dict[str, Any], plain: dict[str, Any]) -> list[str]:
    """What is wrong with `made`, the launcher's file with the record's `ray` in it; `plain` is it without that."""
    found = [*_overruled(made, plain), *_rows(made, plain), *_provider(record), *_of_ray(made), *_of_aws(made)]
    return list(dict.fromkeys(found))


def _overruled(made: dict[str, Any], plain: dict[str, Any]) -> Iterator[str]:
    paths = [*OURS, *((ROWS, row, "node_config", key) for row in plain[ROWS] for key in OF_EACH_ROW)]
    for path in paths:
        if isinstance(_at(made, path[:-1]), dict) and _at(made, path) != _at(plain, path):
            yield f"ray.{'.'.join(path)}: by it machines are found again, and end. Leave it out."


def _rows(made: dict[str, Any], plain: dict[str, Any]) -> Iterator[str]:
    paths = [("provider",), (ROWS,), *((ROWS, row) for row in plain[ROWS])]
    for path in [*paths, *((ROWS, row, "node_config") for row in plain[ROWS])]:
        if isinstance(_at(made, path[:-1]), dict) and not isinstance(_at(made, path), dict):
            yield f"ray.{'.'.join(path)}: must be a mapping."
    for row in made[ROWS] if isinstance(made[ROWS], dict) else ():
        if row not in plain[ROWS]:
            yield f"ray.{ROWS}.{row}: is no row of this file, which has {', '.join(plain[ROWS])}."


def _provider(record) -> Iterator[str]:
    own = record.ray.get("provider", {})
    for key in own if isinstance(own, dict) else ():
        if key not in PROVIDER:
            yield f"ray.provider.{key}: unknown key. Known: {', '.join(PROVIDER)}."


def _of_ray(made: dict[str, Any]) -> Iterator[str]:
    """What Ray itself refuses."""
    import jsonschema
    from ray.autoscaler._private.util import prepare_config, validate_config

    try:
        validate_config(prepare_config(copy.deepcopy(made)))
    except jsonschema.ValidationError as error:
        yield f"ray.{'.'.join(map(str, error.absolute_path))}: {error.message.splitlines()[0]}"
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError, AssertionError) as error:
        yield f"ray: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _of_aws(made: dict[str, Any]) -> Iterator[str]:
    """What AWS would not understand in the request for a machine of each row."""
    import botocore.session
    from botocore.validate import ParamValidator

    shape = botocore.session.get_session().get_service_model("ec2").operation_model("RunInstances").input_shape
    for row, values in made[ROWS].items() if isinstance(made[ROWS], dict) else ():
        node = values.get("node_config") if isinstance(values, dict) else None
        if not isinstance(node, dict):
            continue
        asked = {name: value for name, value in node.items() if name != "SubnetIds"}  # that is Ray's own word
        report = ParamValidator().validate({**asked, "MinCount": 1, "MaxCount": 1}, shape).generate_report()
        for line in report.splitlines():
            yield f"ray.{ROWS}.{row}.node_config: {line}"


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, dict) else None
    return values
