"""A saved view of MLflow's runs page: a leaderboard sorted by the objective, parallel coordinates, curves and pictures.

The format is private to MLflow's web page and documented nowhere: an experiment tag `mlflow.sharedViewState.<key>`
that holds the page's state as zlib-compressed JSON. It was read from a view saved by hand in the versions in KNOWN; for
any other version no view is written, and the link opens the plain list. Losing the view loses no data.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

KNOWN = ("3.17.",)  # versions of the web page that read this format
CURVES, PICTURES = "curves", "pictures"  # sections of the page, below the comparison
SHOWN_RUNS, SHOWN_PICTURES = 50, 10

PICTURE_PREFIX = "pictures/"
DEFAULT_PICTURES = tuple(PICTURE_PREFIX + name for name in ("reconstructions", "samples", "traversals"))


@dataclass(frozen=True)
class View:
    """What a sweep wants to see: its objective (`mode` "min" or "max"), the parameters that vary, metrics as curves."""

    objective: str
    mode: str
    params: Sequence[str]
    curves: Sequence[str]
    pictures: Sequence[str] = DEFAULT_PICTURES


def known(version: str) -> bool:
    """True if the web page of this version of MLflow reads the format."""
    return version.startswith(KNOWN)


def view_tag(view: View, key: str, sweep: str, time_ms: int) -> tuple[str, str]:
    """The experiment tag (its name, its value) that makes the view `key` of the runs of `sweep`."""
    state = base64.b64encode(zlib.compress(json.dumps(page_state(view, sweep)).encode(), 9)).decode()
    value = {"name": sweep, "createdAt": time_ms, "updatedAt": time_ms, "state": f"deflate;{state}"}
    return f"mlflow.sharedViewState.{key}", json.dumps(value)


def link(base: str, experiment_id: str, key: str | None) -> str:
    """The address of the runs page under `base`, opened on the view `key` if there is one."""
    query = {"workflowType": "machine_learning"}  # without it the page opens on traces of language models
    if key:
        query = {"viewStateShareKey": key, **query, "compareRunsMode": "CHART"}
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def page_state(view: View, sweep: str) -> dict[str, Any]:
    """The state of the page, in the page's own words."""
    metrics = list(dict.fromkeys([view.objective, *view.curves]))
    return {
        "searchFilter": f"tags.`sweep` = '{sweep}'",
        "orderByKey": f"metrics.`{view.objective}`",
        "orderByAsc": view.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in metrics),
            *(f"params.`{name}`" for name in view.params),
            "tags.`status`",
            "tags.`stop_reason`",
        ],
        "columnOrder": [],
        "columnWidths": {},
        "runsHiddenMode": "SHOWALL",  # else the charts show the first ten runs only
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,  # with the sections' isReordered: ours stay above the generated ones
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [_section("sweep", "Sweep"), _section(CURVES, "Curves"), _section(PICTURES, "Pictures")],
        "compareRunCharts": [_parallel(view), *map(_curve, metrics), _images(view)],
    }


def _section(key: str, name: str) -> dict[str, Any]:
    return {"uuid": key, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}


def _chart(kind: str, key: str, section: str, runs: int, words: Mapping[str, Any]) -> dict[str, Any]:
    common = {"type": kind, "uuid": key, "metricSectionId": section, "runsCountToCompare": runs}
    return {**common, "isGenerated": False, "deleted": False, **words}


def _parallel(view: View) -> dict[str, Any]:
    words = {"selectedParams": list(view.params), "selectedMetrics": [view.objective], "showAllRuns": False}
    return _chart("PARALLEL", "parallel", "sweep", SHOWN_RUNS, {**words, "displayName": "Parallel coordinates"})


def _curve(metric: str) -> dict[str, Any]:
    x_axis = {"xAxisKey": "step", "xAxisScaleType": "linear", "selectedXAxisMetricKey": "", "useGlobalXaxisKey": True}
    y_axis = {"yAxisKey": "metric", "scaleType": "linear", "selectedYAxisMetricKey": "", "selectedYAxisExpressions": []}
    smooth = {"lineSmoothness": 0, "useGlobalLineSmoothing": True}
    words = {"metricKey": metric, "selectedMetricKeys": [metric], **x_axis, **y_axis, **smooth}
    return _chart("LINE", f"curve {metric}", CURVES, SHOWN_RUNS, words)


def _images(view: View) -> dict[str, Any]:
    return _chart("IMAGE", PICTURES, PICTURES, SHOWN_PICTURES, {"imageKeys": list(view.pictures), "step": 0})
