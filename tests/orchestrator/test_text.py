"""How configurations are shown: short, and never one as another."""

from orchestrator.text import columns_of, identity, label_at, listed, told_apart


def test_a_number_of_few_digits_is_shown_as_it_was_written():
    assert listed({"optimizer.beta2": 0.99999, "optimizer.lr": 0.0012345678, "beta": 3.0, "rows": 12345}) == (
        "beta2=0.99999 lr=0.001235 beta=3 rows=12345"
    )


def test_configurations_that_would_look_alike_have_all_digits():
    close = [{"lr": 0.00123456789}, {"lr": 0.00123456788}, {"lr": 0.1}]
    assert told_apart(close) == ["lr=0.00123456789", "lr=0.00123456788", "lr=0.1"]
    assert told_apart([close[0], close[2]]) == ["lr=0.001235", "lr=0.1"]
    assert told_apart([close[0], close[0]]) == ["lr=0.001235"] * 2  # the same one twice


def test_the_order_of_values_does_not_matter_and_their_paths_do():
    assert identity({"a": 1, "b": [2, None]}) == identity({"b": [2, None], "a": 1})
    assert identity({"method.gamma": 3}) != identity({"method.mapping.gamma": 3})


def test_a_searched_path_does_not_take_another_columns_name():
    assert columns_of(["lr", "epochs"], ["trial", "epochs"]) == {"lr": "lr", "epochs": "run.epochs"}


def test_the_label_of_the_last_epochs_model_says_so():
    assert label_at("0003 lr=0.1", "last") == "0003@last lr=0.1" and label_at("0003 lr=0.1", "best") == "0003 lr=0.1"
