"""Distributions over codes and data: posteriors q(y|x), priors p(y), likelihoods p(x|z), and what lies between two.

`posteriors.py`, `priors.py` and `likelihoods.py` are where to start; LIKELIHOODS is the table that a run chooses from.
`divergences.py` has the KL, `mmd.py` the discrepancy of samples. `mixtures.py`, `flows.py` and `spike_slab.py` hold the
priors and posteriors of single methods.
"""
