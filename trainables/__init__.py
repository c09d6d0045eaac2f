"""Trains VAEs and measures them, on one process or on several. Knows nothing of Ray, MLflow or sweeps.

A run is a record (`run.py`), `train.py` trains it, `evaluations/` measures what was trained; orchestrator/ uses these.
From top to bottom, each importing only what stands below it:

    evaluations   numbers and pictures of a trained model
    train         the one training loop; `checkpoint.py` holds the file format
    pictures, run
    metrics       the numbers of an epoch, and those that evaluations compute
    learner       makes a model of a method's parts
    methods       what a paper proposes: objective, posterior, prior
    mappings, relevance
    model         encoder, posterior, mapping, decoder, prior
    networks, distributions, terms
    data          data sets
    common        records, errors, lazy imports, files

`tests/test_floors.py` has the whole order. A method, a mapping, a network, a data set or an evaluation is a file, and a
line in the table of its package's `__init__`.
"""
