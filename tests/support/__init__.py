"""What tests share. No module here is a test, and none imports one.

ROOT is the folder of the project; BESIDE, a folder beside it, may hold the files of published data sets.

Specs and runs:
    small_runs: a short run of every method and mapping.
    specs: the YAML of a small sweep and of a small run, as a user writes it; the lines that refuse a bad one.
    sweeps: small sweeps for real Ray, and a recorder in the place of their tracker and console.
    one_slot: whole sweeps on one slot, without Ray and without training.
    draws: draws of the searcher `optuna`.
    objective_values: values of an objective for hypothesis to draw.

What a sweep keeps and shows:
    journals: the events of a journal, and a sweep whose driver can be killed between any two steps.
    results_files, trial_folders: results.json and the folders of trials.
    tracked_sweeps: sweeps told to a tracker, and what an MLflow store has of them.
    comparisons: models with their evaluations, to be compared.
    sweep_folders: whole folders of sweeps to report on, and ones that are written by hand.
    html_pages: an HTML page, parsed and judged.
    consoles: a console that is read back.

Data and evaluations:
    data_files: small files in the formats of the data sets, and what is said of bad ones.
    image_sets: published sets of images in their own formats, with few images.
    prepared_sets: data sets to prepare, and how rows are compared.
    figures: a small sweep with trained models, made without Ray.
    evaluations: evaluations that take a moment, and models to try them on.
    paper_tables: the tables of the papers as they are printed.

Faults and processes:
    fatal: the command line with a signal at a point of its work.
    worker_groups: a slot that kills a worker of its group, and itself.
    bucket_faults: a bucket that spoils some answers.
    full_disk: disks that are full.
    exposure: what others on the machine see of a sweep that runs.
    trial_stores: the store of trials' files, called without Ray.
    ray_heads: a Ray head of its own, which asks for a token and takes jobs.
    fake_clusters: a cluster that cannot be had here, whose jobs do what a test says.
    ray_clusters: a Ray of several nodes on this machine, and a slot that loses its node.
    tunnels: a way to a server of this machine that can be cut.
    forks: worker processes, forked from one that has imported torch.
    warm: programs in Python, forked from one that has imported all that takes long.
    processes: processes found by what is in their environment.
    lab: separate machines on this one, with SSH between them.
    slurm_lab: a Slurm on such machines.
    fake_programs: programs of other systems on PATH, which note what they are given and say what a test says.
    ray_job_shape: the documented keys and types of what KubeRay is given.
    ssh_records: what a cluster file says of such hosts.
    aws_records: what a cluster file says of machines of EC2.
    ssh_clusters: the command line on a laptop, and sweeps that are sent to such hosts.
    waiting: waits until something is so.
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
BESIDE = ROOT.parent / "shared" / "data"
