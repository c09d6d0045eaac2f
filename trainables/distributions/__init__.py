"""Distributions over codes and data: posteriors q(y|x), priors p(y), likelihoods p(x|z), and their divergences.

Start with `posteriors.py`, `priors.py` and `likelihoods.py`; LIKELIHOODS is the table that a run chooses from.
`divergences.py` has the KL, `mmd.py` the discrepancy of samples. `mixtures.py`, `flows.py` and `spike_slab.py` have the
priors and posteriors of single methods.
"""
