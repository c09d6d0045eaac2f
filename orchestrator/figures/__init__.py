"""The figures of the papers, drawn from trained sweeps.

`table.py` lists the kinds of figures, a file for each few of one sort. A kind turns trained models (`trained.py`) into
panels of plain numbers or bytes (`panels.py`), which `drawing.py` draws and `listing.py` writes as CSV: so the CSV
holds what is drawn. The numbers about one model come from `trainables/figures/`. `contact.py` shows a data set,
`overview.py` all trials of a sweep.
"""

__all__ = ["contact", "output", "overview", "table", "trained"]  # the modules that others import
