"""Trains several small runs of equal shape as one computation: `train_epoch`, bit for bit as each would train alone.

`stack.py` does it; `linear.py`, `numbers.py` and `draws.py` are its layers, its differing hyper-parameters, its noise.
"""
