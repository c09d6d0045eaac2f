"""The data sets, a file for each or for a family. `trainables.data.DATASETS` lists them.

A data set states its facts (`known_facts`) and opens its own files (`from_files`); see `data/base/dataset.py`.
`grids.py` is the base of those that hold every combination of their factors.
"""
