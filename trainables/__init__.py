"""Trains VAEs and evaluates them, in one process or in several. Nothing here depends on Ray, MLflow or sweeps.

A run is a record (`run.py`), `train.py` trains it, and `evaluations/` measures the trained model; orchestrator/ calls
these. From top to bottom, each importing only what stands below it:

    values        what the numbers of evaluations are called, their units, and which are better
    evaluations   numbers and pictures of a trained model
    train         the one training loop; `checkpoint.py` holds the file format
    pictures, run
    metrics       the metrics of an epoch, and those that evaluations compute
    learner       builds a model from a method's parts
    methods       what a paper proposes: objective, posterior, prior
    mappings, relevance
    model         encoder, posterior, mapping, decoder, prior
    networks, distributions, terms
    data          data sets
    common        records, errors, lazy imports, files

`tests/test_floors.py` has the whole order. To add a method, a mapping, a network, a data set or an evaluation, write a
file and add a line to the table of its package's `__init__`.
"""
