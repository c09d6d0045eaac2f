"""What makes the loop quick: `train` has the bits of a loop written plainly, and validation has batches of its own."""

import threading

import pytest
import torch

from tests.support.losses import total
from tests.support.small_runs import a_run
from trainables.data.sampling import plan
from trainables.noise import Noise, seed_of
from trainables.train import Training, train

SOME = ("vae", "vae of 5 samples", "tc_vae", "rae gp", "geco_l0_arm_vae", "gm_vae", "mask_aae")


class PlainNoise(Noise):
    """Noise from a generator that is made for each draw."""

    def _rows(self, draw, stream, shape):
        generator = torch.Generator().manual_seed(seed_of(*self.key, stream))
        return draw(self.total, *shape, generator=generator)[self.rows].to(self.device)

    def under(self, *words):
        return PlainNoise(*self.key, *words, rows=self.rows, total=self.total)

    def shared(self, rows=1):
        return PlainNoise(*self.key, "shared", rows=slice(rows), total=rows)


def plain_loop(run):
    """The learner after all epochs, and the means of the last one: of each term over all rows, by phase and name."""
    training = Training(run)
    learner, rows = training.learner, training.splits.train
    for epoch in range(run.epochs):
        learner.train()
        means, (order, _) = {}, plan(len(rows), 0, 1, run.seed, epoch, run.method.passes())
        for number, index in enumerate(order.split(run.batch_size)):
            phase = run.method.phase(training.step, learner.vae)
            noise = PlainNoise(run.seed, "train", epoch, number, rows=slice(0, len(index)), total=len(index))
            terms = learner(rows.batch(index), noise, training.kl_scale(), phase.name)
            learner.zero_grad(set_to_none=True)
            total(terms, len(index)).backward()
            training.optimizers[phase.name].step()
            mine = {name: value.detach().expand(len(index)).sum() for name, (_, value) in terms.items()}
            with torch.no_grad():
                run.method.after_step(learner.vae, phase, mine, len(index))
            training.step, training.images = training.step + 1, training.images + len(index)
            for name, value in mine.items():
                means[phase.name, name] = means.get((phase.name, name), 0.0) + value.item() / len(rows)
    return learner, means


@pytest.mark.parametrize("example", SOME)
def test_weights_and_terms_are_those_of_a_plain_loop(example):
    run = a_run(example, kl_warmup_epochs=1.5)
    learner, means = plain_loop(run)
    *_, report = train(run)
    ours = report.training.learner.state_dict()
    assert all(torch.equal(value, ours[name]) for name, value in learner.state_dict().items())
    if len(run.method.phases) == 1:
        for (_, name), mean in means.items():
            assert report.metrics[f"train/{name}"] == pytest.approx(mean, rel=1e-6), name


def test_a_draw_depends_on_its_key_alone_whatever_is_drawn_before_or_in_another_thread():
    noise = Noise(3, "train", 1, rows=slice(2, 9), total=12)

    def drawn():
        return [
            noise.normal("a", 5),
            noise.uniform("a", 5),
            noise.under("b").normal("a", 3),
            noise.shared().normal("a", 1),
        ]

    plain = PlainNoise(3, "train", 1, rows=slice(2, 9), total=12)
    expected = [
        plain.normal("a", 5),
        plain.uniform("a", 5),
        plain.under("b").normal("a", 3),
        plain.shared().normal("a", 1),
    ]
    found = []
    threads = [threading.Thread(target=lambda: found.extend(drawn() for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200
    assert all(torch.equal(one, other) for some in found for one, other in zip(some, expected, strict=True))


def passes(training, monkeypatch):
    """The rows of each of validation's passes, and its metrics."""
    found, forward = [], type(training.learner.vae).forward
    monkeypatch.setattr(
        type(training.learner.vae),
        "forward",
        lambda self, x, *args, **kw: found.append(len(x)) or forward(self, x, *args, **kw),
    )
    return training.validate(), found


@pytest.mark.parametrize(("size", "expected"), [(None, [32, 32, 26]), (40, [40, 40, 10]), (1000, [90])])
def test_validation_takes_as_many_rows_at_a_time_as_it_is_told(monkeypatch, size, expected):
    assert passes(Training(a_run(validation_batch_size=size)), monkeypatch)[1] == expected


def test_without_draws_and_terms_of_the_whole_batch_validation_depends_on_its_batch_size_by_rounding_alone(monkeypatch):
    one, other = (Training(a_run("rae", validation_batch_size=size)).validate() for size in (7, 90))
    assert one == pytest.approx(other, rel=1e-5)


def test_training_does_not_depend_on_validations_batch_size():
    one, other = (list(train(a_run(validation_batch_size=size)))[-1] for size in (None, 90))
    theirs = other.training.learner.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in one.training.learner.state_dict().items())
    assert one.metrics["val/nll"] != other.metrics["val/nll"]  # of other draws


def test_a_run_that_does_not_say_validations_batch_size_is_written_as_before_there_was_one():
    assert "validation_batch_size" not in a_run().model_dump(mode="json")
    assert a_run(validation_batch_size=90).model_dump(mode="json")["validation_batch_size"] == 90


def test_active_is_measured_after_the_first_epoch_and_every_so_many_and_changes_nothing_else():
    each, some = (list(train(a_run(epochs=5, active_every_epochs=every))) for every in (1, 2))
    assert ["val/active" in report.metrics for report in some] == [True, True, False, True, False]
    for one, other in zip(each, some, strict=True):
        assert one.metrics.items() >= other.metrics.items()
        assert one.metrics.keys() - other.metrics.keys() <= {"val/active"}


def test_a_metric_that_is_not_measured_after_every_epoch_is_not_promised():
    assert set(a_run().metric_names()) - set(a_run(active_every_epochs=2).metric_names()) == {"val/active"}
    assert a_run("sylvester_vae", active_every_epochs=2).metric_names() == a_run("sylvester_vae").metric_names()
    assert "active_every_epochs" not in a_run().model_dump(mode="json")


@pytest.mark.parametrize(
    ("data", "latent_dim", "every"),
    [
        ({"name": "cifar10"}, 256, 5),  # 40,000 rows: 0.211 of an epoch
        ({"name": "cifar10"}, 60, 1),  # 0.0495
        ({"name": "cifar10", "train_rows": 5000}, 64, 9),  # 0.422
        ({"name": "mnist", "train_rows": 1000}, 16, 1),  # 0.528, but of few axes of small images: a moment
        ({"name": "mnist", "train_rows": 1000}, 64, 43),  # 2.112
        ({"name": "imagenet32"}, 256, 1),  # 1.3 million rows
        ({"name": "array", "path": "nowhere", "train_rows": 10}, 256, 1),  # of any shape
    ],
)
def test_active_is_measured_as_often_by_default_as_takes_a_twentieth_of_the_time(data, latent_dim, every):
    network = {"name": "mlp", "latent_dim": latent_dim}
    assert a_run(data=data, network=network).active_every() == every
    assert a_run(data=data, network=network, active_every_epochs=2).active_every() == 2
