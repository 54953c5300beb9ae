"""Models and loaders that are measured by a probe."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def data(count=96, features=6, classes=3, dtype=None):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, features, generator=generator, dtype=dtype)
    return torch.utils.data.TensorDataset(inputs, torch.randint(classes, (count,), generator=generator))


def cross_entropy(model, batch):
    return torch.nn.functional.cross_entropy(model(batch[0]), batch[1])


def network(*layers, seed=0):
    torch.manual_seed(seed)
    middle = layers or (torch.nn.ReLU(),)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), *middle, torch.nn.Linear(8, 3))


def loader_of(dataset=None, **options):
    given = {"batch_size": 8, "shuffle": True, **options}
    return torch.utils.data.DataLoader(dataset or data(), **given)


def probe_of(model, loss_fn=cross_entropy, loader=None, **options):
    from driftax.torch import NoiseProbe

    given = {"units": 16, "tails": False, **options}
    return NoiseProbe(model, loss_fn, loader_of() if loader is None else loader, **given)


class Embedded(torch.nn.Module):
    def __init__(self, sparse):
        super().__init__()
        torch.manual_seed(2)
        self.embedding = torch.nn.Embedding(10, 4, sparse=sparse)
        self.head = torch.nn.Linear(4, 3)

    def forward(self, index):
        return self.head(self.embedding(index).mean(dim=1))


def tokens():
    generator = torch.Generator().manual_seed(5)
    words = torch.randint(10, (64, 7), generator=generator)
    return torch.utils.data.TensorDataset(words, torch.randint(3, (64,), generator=generator))


class Checkpointed(torch.nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.body, self.reentrant = network(), reentrant

    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        x = x.requires_grad_() if self.reentrant else x
        x = checkpoint(self.body[:2], x, use_reentrant=self.reentrant)
        return self.body[2](x)
