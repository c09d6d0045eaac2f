"""The data sets, one file per set or family. `trainables.data.DATASETS` lists them.

A data set states its facts (`known_facts`) and opens its own files (`from_files`); see `data/base/dataset.py`.
`grids.py` is the base of sets that contain every combination of their factors.
"""
