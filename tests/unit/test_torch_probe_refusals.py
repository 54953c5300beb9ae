"""What a probe refuses, each in three parts."""

from __future__ import annotations

import pytest

from driftax._errors import DriftaxError

pytestmark = pytest.mark.needs_torch

torch = pytest.importorskip("torch")

from unit.probe_cases import Checkpointed, Embedded, cross_entropy, data, loader_of, network, probe_of, tokens  # noqa: E402


def reduced(reduction):
    return lambda m, b: torch.nn.functional.cross_entropy(m(b[0]), b[1], reduction=reduction)


def contrastive(model, batch):
    z = torch.nn.functional.normalize(model(batch[0]), dim=1)
    return torch.nn.functional.cross_entropy(z @ z.T / 0.1, torch.arange(len(z)))


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(data())


def frozen():
    model = network()
    model.requires_grad_(False)
    return model


def other_model(model, batch, kept=[]):  # noqa: B006 (one model for all calls)
    kept.append(network()) if not kept else None
    return cross_entropy(kept[0], batch)


def complex_model():
    model = network()
    model.register_parameter("phase", torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64)))
    return model


def norm():
    return network(torch.nn.BatchNorm1d(8))


WRONG = {
    "batch norm": (lambda: probe_of(norm()), "BatchNorm", "unit='batch'"),
    "batch norm, other batches": (lambda: probe_of(norm(), unit=4), "BatchNorm", "mode='eval'"),
    "eval": (lambda: probe_of(network().eval()), "in eval mode", "model.train()"),
    "sum": (
        lambda: probe_of(network(), reduced("sum")),
        "a sum",
        "reduction='mean'",
    ),
    "vector": (
        lambda: probe_of(network(), reduced("none"), unit=4),
        "a vector of 4 losses",
        ".mean()",
    ),
    "contrastive": (lambda: probe_of(network(), contrastive), "depends on the others", "unit='batch'"),
    "detached": (
        lambda: probe_of(network(), lambda m, b: cross_entropy(m, b).detach()),
        "detached",
        "without",
    ),
    "number": (lambda: probe_of(network(), lambda m, b: cross_entropy(m, b).item()), "a float", "loss"),
    "other model": (lambda: probe_of(network(), other_model), "of another model", "`model`"),
    "not finite": (lambda: probe_of(network(), lambda m, b: cross_entropy(m, b) / 0), "inf", "finite"),
    "frozen": (lambda: probe_of(frozen()), "no parameter", "parameters to train"),
    "complex": (lambda: probe_of(complex_model()), "a complex parameter", "two real"),
    "no module": (lambda: probe_of(lambda x: x), "not a torch.nn.Module", "a module"),
    "reentrant": (lambda: probe_of(Checkpointed(True)), "reentrant", "use_reentrant=False"),
    "stream": (
        lambda: probe_of(network(), loader=torch.utils.data.DataLoader(Stream(), batch_size=4)),
        "only be read in order",
        "a list of batches",
    ),
    "iterator": (lambda: probe_of(network(), loader=iter(loader_of())), "cannot be drawn", "DataLoader"),
    "empty": (lambda: probe_of(network(), loader=[]), "empty", "batch"),
    "few examples": (lambda: probe_of(network(), units=200), "96 examples", "units=96"),
    "few units": (lambda: probe_of(network(), units=4), "too few", "units=8"),
    "memory": (lambda: probe_of(network(), max_memory=83 * 4 * 9), "above max_memory", "units=9"),
    "unit": (lambda: probe_of(network(), unit="all"), "'all'", "unit=1"),
    "budget": (lambda: probe_of(network(), budget="a lot"), "'a lot'", 'budget="5%"'),
    "every": (lambda: probe_of(network(), every=0), "every = 0", "every=100"),
    "accumulate": (lambda: probe_of(network(), accumulate=0), "accumulate = 0", "a number of batches"),
    "mode": (lambda: probe_of(network(), mode="test"), "no such mode", "eval"),
    "optimizer": (
        lambda: probe_of(network(), optimizer=torch.optim.SGD(network().parameters(), 0.1)),
        "not in the model",
        "ModuleList",
    ),
    "lazy": (lambda: probe_of(torch.nn.Sequential(torch.nn.LazyLinear(3))), "no shape yet", "one forward"),
    "twice": (
        lambda: probe_of(Embedded(True), loader=loader_of(tokens()), curvature=True),
        "differentiated twice",
        "curvature=False",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_refused_in_three_parts(name):
    wrong, found, instead = WRONG[name]
    with pytest.raises(DriftaxError) as refused:
        wrong().measure()
    print(refused.value)
    assert found in refused.value.found and instead in refused.value.instead


def test_no_measurement_is_no_result():
    with pytest.raises(DriftaxError, match="no measurement yet"):
        probe_of(network()).result()
