"""Trains several small runs of equal shape as one computation, with the numbers that each would have alone: `Stack`.

`stack.py` does it; `linear.py`, `numbers.py`, `draws.py` and `adam.py` are its layers, the hyper-parameters in which
the runs differ, its noise, and its optimizers' steps.
"""
