"""A saved view of MLflow's runs page: a leaderboard sorted by the objective, parallel coordinates, curves and pictures.

The format is private to MLflow's web page and not documented: an experiment tag `mlflow.sharedViewState.<key>` holds
the page's state as zlib-compressed JSON. It was learnt from a view saved by hand in the versions in KNOWN; for any
other version no view is written, and the link opens the plain list. Losing the view loses no data.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

KNOWN = ("3.17.",)  # versions of the web page that read this format
SHOWN_RUNS, SHOWN_PICTURES = 50, 10
FIXED_COLUMNS = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")  # always the first of the table
LETTER_PX, MARGIN_PX = 8, 40  # of a column's title

UID_TAG = "vae.uid"  # <sweep uid>-<trial id>: identifies a run, whatever process sends it
BEST = "best/"  # prefix of metrics of the best epoch
PICTURE_PREFIX = "pictures/"
# The page shows the pictures of one step, and trials end at different epochs: so the latest are also kept at step 0.
LATEST_PREFIX = "latest/"

SWEEP, CURVES, LATEST, BY_EPOCH = "sweep", "curves", "latest", "by epoch"
SECTIONS = {  # of the page, from top to bottom; by default three charts are in a row, 360 pixels high
    SWEEP: {"name": "Sweep", "columns": 1, "cardHeight": 440},
    CURVES: {"name": "Curves"},
    LATEST: {"name": "Latest pictures", "columns": 1, "cardHeight": 1060},
    BY_EPOCH: {"name": "Pictures by epoch", "columns": 1, "cardHeight": 680},
}


@dataclass(frozen=True)
class SavedView:
    """What to show of a sweep: its objective (`mode` "min" or "max"), its parameters, further metrics as curves.

    `axes` are the parameters for parallel coordinates; `pictures` are names such as `samples`; `first_epoch` is the one
    after which the first of them are likely drawn. Runs that share the parameter `grouped_by` are shown as one: their
    means.
    """

    objective: str
    mode: str
    params: Sequence[str]
    axes: Sequence[str]
    curves: Sequence[str]
    pictures: Sequence[str]
    first_epoch: int
    grouped_by: str | None = None


def known(version: str) -> bool:
    """True if the web page of this version of MLflow reads the format."""
    return version.startswith(KNOWN)


def view_key(uid: str) -> str:
    """The key of the view of the sweep `uid`."""
    return f"vaeorch-{uid}"


def view_tag_name(uid: str) -> str:
    """The experiment tag that holds it."""
    return f"mlflow.sharedViewState.{view_key(uid)}"


def view_tag(view: SavedView, sweep: str, uid: str, time_ms: int) -> tuple[str, str]:
    """The experiment tag (its name, its value) that makes the view of the runs of `sweep`, which has `uid`."""
    state = base64.b64encode(zlib.compress(json.dumps(page_state(view, uid)).encode(), 9)).decode()
    value = {"name": sweep, "createdAt": time_ms, "updatedAt": time_ms, "state": f"deflate;{state}"}
    return view_tag_name(uid), json.dumps(value)


def link(base: str, experiment_id: str, key: str | None) -> str:
    """The address of the runs page under `base`, opened on the view `key` if there is one."""
    query = {"workflowType": "machine_learning"}  # without it the page opens on traces of language models
    if key:
        query = {"viewStateShareKey": key, **query, "compareRunsMode": "CHART"}
    return f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def page_state(view: SavedView, uid: str) -> dict[str, Any]:
    """The state of the page for the sweep `uid`, in the page's own format."""
    titles, charts = _titles(view), _charts(view)
    used = {chart["metricSectionId"] for chart in charts}
    return {
        # By uid: another sweep may have had the name. Without the sweep's own run: its metrics are its best trial's.
        "searchFilter": f"tags.`{UID_TAG}` LIKE '{uid}-%' AND tags.kind != 'sweep'",
        "orderByKey": f"metrics.`{BEST}{view.objective}`",  # as `vaeorch results` sorts
        "orderByAsc": view.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(titles),
        "columnOrder": [*FIXED_COLUMNS, *titles],
        "columnWidths": {column: max(100, MARGIN_PX + LETTER_PX * len(title)) for column, title in titles.items()},
        "runsHiddenMode": "SHOW_ALL",  # otherwise the charts show only the first ten runs
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,  # with the sections' isReordered: ours stay above the generated ones
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": _groups(view.grouped_by) if view.grouped_by else None,
        "groupsExpanded": {},
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunSections": [_section(key, layout) for key, layout in SECTIONS.items() if key in used],
        "compareRunCharts": charts,
    }


def _groups(param: str) -> dict[str, Any]:
    return {"aggregateFunction": "average", "groupByKeys": [{"mode": "param", "groupByData": param}]}


def _titles(view: SavedView) -> dict[str, str]:
    """The columns of the table from left to right, each with its title."""
    return {
        f"{kind}.`{title}`": title
        for kind, titles in (
            ("metrics", [f"{BEST}{view.objective}", view.objective]),
            ("tags", ["status", "stop_reason"]),
            ("params", view.params),
            ("metrics", view.curves),
        )
        for title in titles
    }


def _section(key: str, layout: Mapping[str, Any]) -> dict[str, Any]:
    return {"uuid": key, "display": True, "isReordered": True, "deleted": False, "isGenerated": False, **layout}


def _charts(view: SavedView) -> list[dict[str, Any]]:
    charts = [_curve(metric) for metric in (view.objective, *view.curves)]
    if view.axes:
        charts.append(_parallel(view))
    if view.pictures:
        charts += [_images(LATEST, [LATEST_PREFIX + name], 0) for name in view.pictures]
        charts.append(_images(BY_EPOCH, [PICTURE_PREFIX + name for name in view.pictures], view.first_epoch))
    return charts


def _chart(kind: str, key: str, section: str, runs: int, words: Mapping[str, Any]) -> dict[str, Any]:
    common = {"type": kind, "uuid": key, "metricSectionId": section, "runsCountToCompare": runs}
    return {**common, "isGenerated": False, "deleted": False, **words}


def _parallel(view: SavedView) -> dict[str, Any]:
    words = {"selectedParams": list(view.axes), "selectedMetrics": [view.objective], "showAllRuns": False}
    return _chart("PARALLEL", "parallel", SWEEP, SHOWN_RUNS, words)


def _curve(metric: str) -> dict[str, Any]:
    x_axis = {"xAxisKey": "step", "xAxisScaleType": "linear", "selectedXAxisMetricKey": "", "useGlobalXaxisKey": True}
    y_axis = {"yAxisKey": "metric", "scaleType": "linear", "selectedYAxisMetricKey": "", "selectedYAxisExpressions": []}
    smooth = {"lineSmoothness": 0, "useGlobalLineSmoothing": True}
    words = {"metricKey": metric, "selectedMetricKeys": [metric], **x_axis, **y_axis, **smooth}
    return _chart("LINE", f"curve {metric}", CURVES, SHOWN_RUNS, words)


def _images(section: str, keys: Sequence[str], step: int) -> dict[str, Any]:
    words = {"imageKeys": list(keys), "step": step, "showRunParams": False}
    return _chart("IMAGE", f"images {keys[0]}", section, SHOWN_PICTURES, words)
