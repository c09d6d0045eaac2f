"""Trained models to use, without their data: `Model` encodes, decodes, generates, and may be pruned.

`fitted.py` keeps beside a checkpoint what samples and the relevance of axes need of the training rows. `prune.py` cuts
out axes that are not used. `arrays.py` checks what users pass.
"""
