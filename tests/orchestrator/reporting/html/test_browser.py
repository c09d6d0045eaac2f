"""The page in a real browser: its script runs without an error under its own policy, and a click sorts."""

import html
import re
import shutil
import subprocess

import pytest

from orchestrator.reporting.html.page import as_html
from tests.support.sweep_folders import one, written

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 120

TRY = """
<script>
const said = [];
addEventListener("error", (event) => said.push(event.message));
addEventListener("securitypolicyviolation", (event) => said.push("policy: " + event.violatedDirective));
console.error = (...words) => said.push(words.join(" "));
</script>
"""
CLICK = """
<script>
addEventListener("load", () => {
  const ranks = () => Array.from(document.querySelectorAll("#leaderboard tbody tr"), (row) => row.cells[0].textContent);
  const tell = (name, value) => { document.body.dataset[name] = String(value); };
  const [rank, trial, value] = document.querySelectorAll("#leaderboard th");
  tell("unsorted", ranks());
  value.querySelector("button").click();
  tell("rising", ranks());
  tell("sort", value.getAttribute("aria-sort"));
  value.querySelector("button").click();
  tell("falling", ranks());
  const rate = [...document.querySelectorAll("#leaderboard th")].at(-1).querySelector("button");
  rate.click();
  tell("rates", ranks());
  rate.click();
  tell("fallingRates", ranks());
  const shown = () => Array.from(document.querySelectorAll("[data-metric].chosen"), (figure) => figure.dataset.metric);
  tell("first", shown());
  const select = document.querySelector("#metric");
  select.value = "val/kl";
  select.dispatchEvent(new Event("change"));
  tell("second", shown());
  document.querySelector("#leaderboard [data-mark='0002']").click();
  tell("lit", new Set(Array.from(document.querySelectorAll(".lit"), (part) => part.dataset.trial)).size);
  tell("wide", document.documentElement.scrollWidth <= innerWidth);
  tell("said", said.join("; "));
});
</script>
"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"none of these browsers is on PATH: {', '.join(BROWSERS)}")
    return found


def opened(browser: str, page: str, folder, width: int) -> dict[str, str]:
    """The data attributes of the page's body after its script and ours have run in a window of this width."""
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    own = [f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900", file.as_uri()]
    done = subprocess.run([browser, *flags, *own], capture_output=True, text=True, timeout=PATIENCE_S)
    body = re.search(r"<body[^>]*>", done.stdout)
    assert body, done.stderr[-2000:]
    return {name: html.unescape(value) for name, value in re.findall(r'data-([\w-]+)="([^"]*)"', body[0])}


@pytest.mark.parametrize("width", [1100, 500])
def test_the_page_works_in_a_browser_without_an_error(browser, tmp_path, width):
    values = {"0001": [0.5], "0002": [10.0], "0003": [9.0], "0004": [float("nan")]}
    trials = [one(own, {"lr": number / 7} if number != 1 else {}) for number, own in enumerate(values.values())]
    page = as_html(written(tmp_path / "sweep", trials))
    page = page.replace("<style>", f"{TRY}<style>", 1).replace("</body>", f"{CLICK}</body>", 1)
    found = opened(browser, allowed(page), tmp_path, width)
    assert found["unsorted"] == "1,2,3,4"
    assert found["rising"] == "3,2,1,4"  # 0.5, 9, 10, and what has no value stays last
    assert found["falling"] == "1,2,3,4"
    assert (found["rates"], found["falling-rates"]) == ("3,2,4,1", "4,2,3,1")  # the best has none
    assert found["sort"] == "ascending"
    assert (found["first"], found["second"]) == ("m", "val/kl")
    assert found["lit"] == "1"
    assert found["wide"] == "true", "the page scrolls sideways"
    assert found["said"] == ""


def test_a_script_that_is_not_ours_does_not_run(browser, tmp_path):
    page = as_html(
        written(tmp_path / "sweep", [one([1.0])]), [("More", "<script>document.body.dataset.ran = 1</script>")]
    )
    assert opened(browser, page, tmp_path, 800) == {}


def allowed(page: str) -> str:
    """The page, with a policy that lets in the scripts of this test."""
    return re.sub(r"script-src [^\"]*", "script-src &#x27;unsafe-inline&#x27;", page, count=1)
