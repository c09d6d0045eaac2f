"""Pictures that are drawn after a training are sent to its run in MLflow."""

from orchestrator.tracking.client import connect


def test_draw_sends_the_pictures_of_the_best_epoch_to_the_run_in_mlflow(vaeorch, spec, tmp_path):
    words = ("--out", tmp_path, "--tracking-uri", uri := f"sqlite:///{tmp_path / 'mlflow.db'}")
    first = (
        "--set",
        "objective.metric=val/active",
        "--set",
        "objective.mode=max",
    )  # the same in all: the first is best
    assert vaeorch("train", spec, *words, *first)[0] == 0
    assert not (tmp_path / "tiny" / "pictures" / "0001").exists()
    assert vaeorch("draw", "tiny", "--out", tmp_path)[0] == 0
    drawn = {path.stem for path in (tmp_path / "tiny" / "pictures" / "0001").iterdir()}
    client = connect(uri)
    [run] = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    images = [file.path for file in client.list_artifacts(run.info.run_id, "images")]
    sent = [image.partition("pictures~")[2].split("+step+1+")[0] for image in images if "+step+1+" in image]
    assert set(sent) == drawn and drawn
