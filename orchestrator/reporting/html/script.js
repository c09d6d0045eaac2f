"use strict";
document.documentElement.classList.add("js");

// Tables: a click on a header sorts by full values; cells without one stay last.
function sortable(table) {
  table.querySelectorAll("thead th").forEach((header, column) => {
    if (!header.textContent) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    header.append(button);
    if (table.tBodies[0].rows[0]?.cells[column]?.classList.contains("number")) header.classList.add("number");
    button.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table.tBodies[0], column, down ? -1 : 1);
    });
  });
}

function sort(body, column, sign) {
  const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const [x, y] = [Number(a), Number(b)];
    return sign * (Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b) : x - y);
  };
  const rows = Array.from(body.rows, (row) => [key(row), row]);
  rows.sort(([a], [b]) => compare(a, b));
  body.append(...rows.map(([, row]) => row));
}

// Learning curves: one metric at a time.
function choice(select) {
  const figures = document.querySelectorAll("[data-metric]");
  const show = () => figures.forEach((figure) => figure.classList.toggle("chosen", figure.dataset.metric === select.value));
  select.addEventListener("change", show);
  show();
}

// Trials: the one that is pointed at, and those that are pressed, stand out in all figures and tables.
function marking() {
  const parts = new Map();
  const pressed = new Set();
  let pointed = null;
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);
  document.querySelectorAll("[data-trial]").forEach((part) => {
    const trial = part.dataset.trial;
    if (!parts.has(trial)) parts.set(trial, []);
    parts.get(trial).push(part);
  });

  const light = (trial, on) => parts.get(trial)?.forEach((part) => part.classList.toggle("lit", on));
  const point = (trial) => {
    if (trial === pointed) return;
    if (pointed !== null && !pressed.has(pointed)) light(pointed, false);
    pointed = trial;
    if (trial !== null) light(trial, true);
    document.documentElement.classList.toggle("marking", trial !== null || pressed.size > 0);
  };
  const press = (trial, on) => {
    on ? pressed.add(trial) : pressed.delete(trial);
    light(trial, on || trial === pointed);
    document.querySelectorAll("[data-mark]").forEach((button) => button.setAttribute("aria-pressed", pressed.has(button.dataset.mark)));
    document.documentElement.classList.toggle("marking", pointed !== null || pressed.size > 0);
  };

  // Lines are thin: look around the pointer too.
  const around = [[0, 0], [0, 3], [0, -3], [3, 0], [-3, 0], [0, 6], [0, -6]];
  const under = (event) => {
    if (!event.target.closest?.("svg")) return event.target.closest?.("[data-trial], [data-mark]") ?? null;
    for (const [x, y] of around) {
      const found = document.elementFromPoint(event.clientX + x, event.clientY + y)?.closest("[data-trial]");
      if (found) return found;
    }
    return null;
  };
  document.addEventListener("pointermove", (event) => {
    const found = under(event);
    point(found ? found.dataset.trial ?? found.dataset.mark : null);
    tip.hidden = !found?.dataset.tip;
    if (tip.hidden) return;
    tip.textContent = found.dataset.tip;
    tip.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  });
  document.addEventListener("pointerleave", () => { point(null); tip.hidden = true; });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-mark]");
    if (button) press(button.dataset.mark, !pressed.has(button.dataset.mark));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") [...pressed].forEach((trial) => press(trial, false));
  });
}

// Print: what is folded away is printed too.
function unfolding() {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((part) => { part.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((part) => { part.open = false; }));
}

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll("#metric").forEach(choice);
  marking();
  unfolding();
});
