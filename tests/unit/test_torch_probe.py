"""The probe of a PyTorch loop: it changes nothing, agrees with JAX, and refuses what is not defined."""

from __future__ import annotations

import copy
import random

import numpy as np
import pytest

from driftax import Measurement, measure
from driftax._errors import DriftaxError

pytestmark = pytest.mark.needs_torch

torch = pytest.importorskip("torch")

from unit.probe_cases import Checkpointed, Embedded, cross_entropy, data, loader_of, network, probe_of, tokens  # noqa: E402


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


# ---------------------------------------------------------------- a run is what it would have been


class Augmented(torch.utils.data.Dataset):
    """Noise from every generator there is, and one of its own."""

    def __init__(self):
        self.inner = data()
        self.own = np.random.default_rng(3)
        self.generator = torch.Generator().manual_seed(4)

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        x, y = self.inner[index]
        noise = random.random() + np.random.rand() + self.own.normal()
        return x + 0.01 * (noise + torch.randn(()) + torch.randn((), generator=self.generator)), y


def run(case, probed):
    """Everything a run leaves behind."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    layers = {"norm": (torch.nn.BatchNorm1d(8), torch.nn.ReLU())}
    model = network(*layers.get(case, (torch.nn.ReLU(), torch.nn.Dropout(0.4))))
    dataset = Augmented() if case == "augmented" else data()
    loader = loader_of(dataset, generator=torch.Generator().manual_seed(9) if case == "seeded" else None)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    options = {"unit": "batch", "units": 8} if case == "norm" else {}
    probe = probe_of(model, loader=loader, every=3, optimizer=optimizer, curvature=case == "plain", **options)
    losses, between = [], []
    for _ in range(2):
        for batch in loader:
            optimizer.zero_grad(set_to_none=False)
            loss = cross_entropy(model, batch)
            if probed and case == "between":
                probe.measure()  # with a graph that has yet to go backward
            loss.backward()
            if probed and case == "between":
                probe.measure()  # with gradients that have yet to be used
            optimizer.step()
            if probed:
                between.append(probe.step())
            losses.append(loss.item())
    assert not probed or sum(found is not None for found in between) == len(between) // 3
    grads = [param.grad for param in model.parameters()]
    generators = [torch.get_rng_state(), random.getstate(), repr(np.random.get_state())]
    if case == "seeded":
        generators.append(loader.generator.get_state())
    modes = [module.training for module in model.modules()]
    return [losses, model.state_dict(), grads, optimizer.state_dict(), generators, modes]


@pytest.mark.parametrize("case", ["plain", "norm", "augmented", "seeded", "between"])
def test_training_with_the_probe_is_training_without_it_bit_for_bit(case):
    assert same(run(case, probed=True), run(case, probed=False))


def test_a_probe_that_fails_leaves_everything_as_it_was():
    model = network(torch.nn.Dropout(0.5))
    probe = probe_of(model, lambda model, batch: model(batch[0]))
    before = torch.get_rng_state()
    with pytest.raises(DriftaxError):
        probe.measure()
    assert torch.equal(torch.get_rng_state(), before) and model.training


# ---------------------------------------------------------------- the numbers


def stacked(model):
    return {name: param.detach().numpy() for name, param in model.named_parameters()}


@pytest.mark.parametrize("unit", [1, 4])
def test_torch_and_jax_agree_on_the_same_numbers(unit):
    import jax
    import jax.numpy as jnp

    model = network(torch.nn.Tanh()).double()
    dataset = data(dtype=torch.float64)
    loader = loader_of(dataset)
    probe = probe_of(model, loader=loader, units=96, curvature=True, batch=8)
    found = probe.measure()

    def loss(params, example):
        hidden = jnp.tanh(params["0.weight"] @ example[0] + params["0.bias"])
        logits = params["2.weight"] @ hidden + params["2.bias"]
        return jax.nn.logsumexp(logits) - logits[example[1]]

    examples = tuple(tensor.numpy() for tensor in dataset.tensors)
    other = measure(
        loss, stacked(model), examples, batch=8, data_size=96, curvature=True, group=lambda path: path[2]
    )
    assert found.groups == other.groups == ["0", "2", "total"]
    for quantity in ("gradient_norm_squared", "covariance_trace", "noise_scale", "signal_ratio_squared"):
        for group in found.groups:
            ours, theirs = (one.estimate(quantity, group) for one in (found, other))
            assert ours.value == pytest.approx(theirs.value, rel=1e-9)
            assert ours.standard_error == pytest.approx(theirs.standard_error, rel=1e-6, abs=1e-12)
    top = [one.estimate("eigenvalue", rank=0).value for one in (found, other)]
    assert top[0] == pytest.approx(top[1], rel=1e-6)
    if unit > 1:
        batches = probe_of(model, loader=loader, units=24, unit=unit, batch=8).measure()
        trace = batches.estimate("covariance_trace")
        assert abs(trace.value - found.estimate("covariance_trace").value) < 5 * trace.standard_error


def test_gradients_of_a_linear_model_are_the_closed_form():
    model = torch.nn.Linear(6, 1, bias=False).double()
    dataset = data(dtype=torch.float64)

    def loss_fn(model, batch):
        return 0.5 * ((model(batch[0])[:, 0] - batch[1]) ** 2).mean()

    found = probe_of(model, loss_fn, loader_of(dataset), units=96, curvature=True).measure()
    x, y = (tensor.numpy() for tensor in dataset.tensors)
    gradients = (x @ model.weight.detach().numpy()[0] - y)[:, None] * x
    mean, hessian = gradients.mean(axis=0), x.T @ x / 96
    assert found.estimate("gradient_norm_squared") == pytest.approx((mean @ mean, 0.0), rel=1e-10)
    trace = np.trace(np.cov(gradients.T, ddof=0))
    assert found.estimate("covariance_trace").value == pytest.approx(trace, rel=1e-10)
    top = found.estimate("eigenvalue", rank=0)
    assert top.value == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-3)
    traced = found.estimate("hessian_trace")
    assert abs(traced.value - np.trace(hessian)) < 6 * traced.standard_error


def test_groups_are_those_of_the_optimizer_and_frozen_and_tied_parameters_are_not_counted_twice():
    model = network()
    model[0].bias.requires_grad_(False)
    tied = torch.nn.ModuleDict({"one": model, "two": model[2]})
    optimizer = torch.optim.SGD(
        [
            {"params": [model[0].weight], "name": "first", "lr": 0.2},
            {"params": model[2].parameters()},
        ],
        lr=0.1,
        momentum=0.9,
    )

    def loss_fn(model, batch):
        return cross_entropy(model["one"], batch)

    found = probe_of(tied, loss_fn, optimizer=optimizer, curvature=True).measure()
    assert found.groups == ["first", "group 1", "total"]
    sizes = found.data["parameters"].values.tolist()
    assert sizes == [48, 27, 75]
    # P is 1/2 in the first group, relative to its learning rate 0.2: the edge of the heavy ball there.
    assert float(found.data["stability_edge"]) == pytest.approx(2 * 1.9 / 0.2)
    assert "preconditioned_eigenvalue" in found.data
    assert found.data.attrs["learning_rates"] == 2 and found.data.attrs["nesterov"] == 0


def test_sparse_gradients_are_those_of_a_dense_embedding():
    found = [
        probe_of(Embedded(sparse), loader=loader_of(tokens()), units=64).measure() for sparse in (False, True)
    ]
    assert found[0].data.attrs["gradients"] == "vmap"
    assert found[1].data.attrs["gradients"].startswith("unit by unit")
    traces = [one.estimate("covariance_trace", "embedding").value for one in found]
    assert traces[0] == pytest.approx(traces[1], rel=1e-5)


def test_checkpointed_models_are_measured_unit_by_unit():
    plain = probe_of(network(), units=96).measure()
    found = probe_of(Checkpointed(False), units=96).measure()
    assert found.estimate("covariance_trace").value == pytest.approx(
        plain.estimate("covariance_trace").value, rel=1e-5
    )


def test_ragged_examples_are_measured_unit_by_unit():
    model = torch.nn.EmbeddingBag(10, 3)
    words = [(torch.arange(1 + i % 4) % 10, i % 3) for i in range(40)]

    def collate(items):
        offsets = torch.tensor([0, *[len(w) for w, _ in items[:-1]]]).cumsum(0)
        return torch.cat([w for w, _ in items]), offsets, torch.tensor([y for _, y in items])

    def loss_fn(model, batch):
        return torch.nn.functional.cross_entropy(model(batch[0], batch[1]), batch[2])

    found = probe_of(model, loss_fn, loader_of(words, collate_fn=collate)).measure()
    assert found.data.attrs["gradients"].startswith("unit by unit")


def test_dropout_draws_with_replacement_and_a_mask_for_every_unit():
    found = probe_of(network(torch.nn.Dropout(0.5)), units=32).measure()
    assert found.data.attrs["random"] == "yes" and found.data.attrs["data_size"] == 0
    plain = probe_of(network(torch.nn.Identity()), units=32).measure()
    assert plain.data.attrs["random"] == "no" and plain.data.attrs["data_size"] == 96


def test_eval_mode_and_batches_are_ways_around_batch_norm():
    model = network(torch.nn.BatchNorm1d(8))
    found = probe_of(model, units=8, unit="batch").measure()
    assert found.data.attrs["unit_size"] == 8 and model.training
    found = probe_of(model, mode="eval").measure()
    assert found.data.attrs["training_mode"] == "eval" and model.training


def test_wrapped_models_are_unwrapped():
    model = network()
    found = probe_of(torch.nn.DataParallel(model)).measure()
    assert found.groups == probe_of(model).measure().groups


def test_signal_ratios_are_those_of_a_step_which_may_take_several_batches():
    one, four = (probe_of(network(), units=96, accumulate=number).measure() for number in (1, 4))
    assert (one.data.attrs["batch"], four.data.attrs["batch"]) == (8, 32)
    ratios = [found.estimate("signal_ratio_squared").value for found in (one, four)]
    assert ratios[1] == pytest.approx(4 * ratios[0])


def test_a_list_of_batches_is_a_data_set():
    dataset = data()
    batches = [tuple(tensor[i : i + 12] for tensor in dataset.tensors) for i in range(0, 96, 12)]
    found = [
        probe_of(network(), loader=loader, units=96).measure() for loader in (batches, loader_of(dataset))
    ]
    traces = [one.estimate("covariance_trace").value for one in found]
    assert traces[0] == pytest.approx(traces[1], rel=1e-5)
    assert found[0].data.attrs["batch"] == 12


def test_weighted_samplers_draw_by_their_weights():
    weights = np.r_[np.ones(48), np.zeros(48)]
    sampler = torch.utils.data.WeightedRandomSampler(weights, 96)
    probe = probe_of(network(), loader=loader_of(shuffle=False, sampler=sampler), units=32)
    examples = probe._given[2]
    assert examples.draw(np.random.default_rng(0), 32, 2, False).max() < 48


# ---------------------------------------------------------------- when


def test_every_and_budget():
    model = network()
    probe = probe_of(model, every=4)
    assert [probe.step() is not None for _ in range(8)] == [False, False, False, True] * 2
    tight = probe_of(model, budget="0.001%")
    assert [tight.step() is not None for _ in range(5)] == [True] + [False] * 4
    assert tight.seconds > 0
    free = probe_of(model, budget=1.0)
    assert all(free.step() is not None for _ in range(3))
    assert free.result().data.attrs["measurements"] == 3
    assert free.result(last=1).data.attrs["measurements"] == 1


def test_a_measurement_is_saved_and_read_again(tmp_path):
    found = probe_of(network(), curvature=True).measure()
    again = Measurement.load(found.save(tmp_path / "found.nc"))
    assert again.as_dict() == pytest.approx(found.as_dict(), nan_ok=True)
    assert float(again.data["spectrum_noise"][0].sum()) == pytest.approx(
        found.estimate("covariance_trace").value
    )


def test_a_copy_of_a_model_is_measured_like_the_model():
    model = network()
    one, two = (probe_of(m).measure().as_dict() for m in (model, copy.deepcopy(model)))
    assert one == pytest.approx(two, rel=0, abs=0, nan_ok=True)
