"""What the figures of papers show of one trained model, as plain arrays: codes, mappings, images.

`planes.py` has points of the plane, `sheets.py` images, `axes.py` numbers for each latent axis. Each function takes an
EvaluationContext. Nothing is drawn here: `orchestrator/figures/` does that.
"""
