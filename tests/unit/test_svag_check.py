"""The rehearsal from a checkpoint: its verdict on known losses, and that it leaves the run alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from driftax import svag_check
from driftax._errors import DriftaxError
from driftax.advice.rehearsal import rehearsal

LOOKS = np.array([5, 10])


def losses(bend, members=16, noise=1e-3, seed=0):
    """L_m = L + bend / m with independent noise; the optimizer's mean loss moves by 1."""
    random = np.random.default_rng(seed)
    mean = np.array([1.0, 0.0])
    return {m: mean + bend / m + noise * random.normal(size=(members, 2)) for m in (1, 2, 4)}


@pytest.mark.parametrize(
    ("bend", "noise", "verdict"),
    [(0.02, 1e-3, "valid"), (0.5, 1e-3, "not valid"), (0.1, 0.3, "inconclusive")],
)
def test_the_verdict(bend, noise, verdict):
    found = rehearsal(losses(bend, noise=noise), LOOKS)
    assert found.verdict == verdict and verdict in str(found)


def test_a_line_in_one_over_the_factor_is_followed_to_its_end():
    found = rehearsal(losses(0.3, noise=1e-9), LOOKS)
    assert found.distance * found.scale == pytest.approx(0.3, rel=1e-6)


def test_false_alarms_are_as_rare_as_asked_for():
    """A valid equation at 5 % under 10 % tolerance is called not valid in at most 1 % of 400 rehearsals."""
    wrong = sum(rehearsal(losses(0.09, noise=0.02, seed=k), LOOKS).verdict == "not valid" for k in range(400))
    assert wrong <= 14  # binomial with p = 0.01: 15 and more at 3e-5


def test_divergence_is_no_equation():
    values = losses(0.0)
    values[4][3, 1] = np.inf
    assert "factor 4 diverged" in rehearsal(values, LOOKS).reason


def rows():
    return (0.3 * np.random.default_rng(0).normal(size=(256, 3))).astype(np.float32)


def loss_of_one(params, row):
    import jax.numpy as jnp

    return 0.5 * jnp.sum((params["centre"] - row) ** 2)


class TestInJax:
    """`driftax.svag_check`."""

    def test_small_steps_are_followed_and_large_ones_are_not(self):
        start, given = {"centre": np.full(3, 3.0, np.float32)}, {"batch": 8, "members": 6}
        sgd = {"optimizer": "sgd", "lr": 0.02}
        assert svag_check(loss_of_one, start, rows(), sgd, steps=20, **given).verdict == "valid"
        sgd = {"optimizer": "sgd", "lr": 1.7}
        assert svag_check(loss_of_one, start, rows(), sgd, steps=4, **given).verdict == "not valid"

    def test_a_factor_of_1_is_the_optimizer_itself(self):
        """With one example in the data nothing is random, and the losses are those of optax step by step."""
        import jax
        import optax

        params, one = {"centre": np.full(3, 3.0, np.float32)}, rows()[:1]
        optimizer = optax.adamw(0.1, 0.8, 0.9, 1e-6, weight_decay=0.5)
        state, numbers = (
            optimizer.init(params),
            {"optimizer": "adamw", "lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-6, "weight_decay": 0.5},
        )
        found = svag_check(loss_of_one, params, one, numbers, state, batch=2, steps=4, members=4)
        expected = []
        for _ in range(5):
            expected.append(float(loss_of_one(params, one[0])))
            updates, state = optimizer.update(jax.grad(loss_of_one)(params, one[0]), state, params)
            params = optax.apply_updates(params, updates)
        assert found.looks.tolist() == [0, 1, 2, 3, 4]
        assert found.means[1] == pytest.approx(expected, rel=1e-5)

    def test_the_state_of_a_factor_is_that_of_the_ladder(self):
        import jax.numpy as jnp
        import optax

        from driftax.advice.rehearsing import _scaled

        optimizer = optax.chain(optax.clip(1.0), optax.adamw(1e-3))
        _, state = optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)), jnp.ones(2))
        (old, *_), (new, *_) = state[1], _scaled(state, 4)[1]
        assert new.count == 4 * old.count and np.array_equal(new.nu, 4 * old.nu)
        assert np.array_equal(new.mu, old.mu)

    @pytest.mark.parametrize(
        ("optimizer", "state", "words"),
        [
            ({"optimizer": "lion", "lr": 1e-3}, None, "no SVAG is known for it"),
            ({"optimizer": "adam", "lr": 1e-3}, (), "not that of optax's adam"),
        ],
    )
    def test_what_is_refused(self, optimizer, state, words):
        with pytest.raises(DriftaxError, match=words):
            svag_check(loss_of_one, {"centre": np.zeros(3, np.float32)}, rows(), optimizer, state, batch=8)

    def test_numbers_kept_in_the_state_are_refused(self):
        import optax

        def make(settings):
            return optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.adam)(settings.learning_rate))

        start, numbers = {"centre": np.zeros(3, np.float32)}, {"optimizer": "adam", "lr": 1e-3}
        with pytest.raises(DriftaxError, match="inject_hyperparams"):
            svag_check(loss_of_one, start, rows(), numbers, batch=8, make=make)

    @pytest.mark.parametrize(
        ("numbers", "make"),
        [
            ({"optimizer": "sgd"}, lambda optax: optax.sgd(0.1)),
            ({"optimizer": "sgd", "momentum": 0.9}, lambda optax: optax.sgd(0.1, 0.9)),
            ({"optimizer": "rmsprop", "b2": 0.9}, lambda optax: optax.rmsprop(0.1, eps_in_sqrt=False)),
            ({"optimizer": "adam"}, lambda optax: optax.adam(0.1)),
            ({"optimizer": "adamw", "weight_decay": 0.0}, lambda optax: optax.adamw(0.1, weight_decay=0.0)),
            ({"optimizer": "adamw", "weight_decay": 0.5}, lambda optax: optax.adamw(0.1, weight_decay=0.5)),
            (
                {"optimizer": "sgd", "weight_decay": 0.5},
                lambda optax: optax.chain(optax.add_decayed_weights(0.5), optax.sgd(0.1)),
            ),
        ],
    )
    def test_the_transformation_of_a_name_is_optaxs(self, numbers, make):
        import jax
        import jax.numpy as jnp
        import optax

        from driftax.advice.rehearsing import _by_name
        from driftax.scaling.configuration import read

        ours, theirs = _by_name(read({"lr": 0.1, **numbers}, 8)), make(optax)
        params, moved = jnp.array([1.0, -2.0]), []
        for one in (ours, theirs):
            state = one.init(params)
            for gradient in (jnp.array([0.3, 0.1]), jnp.array([-0.2, 0.5])):
                updates, state = one.update(gradient, state, params)
            moved.append((updates, state))
        leaves = [jax.tree.leaves(one) for one in moved]
        assert all(np.allclose(a, b, rtol=1e-6) for a, b in zip(*leaves, strict=True))
        if "weight_decay" not in numbers or numbers["optimizer"] == "adamw":
            assert jax.tree.structure(moved[0]) == jax.tree.structure(moved[1])


@pytest.mark.needs_torch
class TestFromACheckpoint:
    """In torch."""

    def built(self, make):
        import torch

        torch.manual_seed(0)
        model = torch.nn.Linear(1, 3, bias=False).double()
        torch.nn.init.constant_(model.weight, 3.0)  # far from the minimum, which is at the mean of the data
        data = torch.utils.data.TensorDataset(0.3 * torch.randn(256, 3).double())
        loader = torch.utils.data.DataLoader(data, batch_size=8)
        optimizer = make(torch, model.parameters())

        def loss_fn(model, batch):
            return 0.5 * ((model.weight[:, 0] - batch[0]) ** 2).sum(dim=1).mean()

        for batch in list(loader)[:2]:
            optimizer.zero_grad()
            loss_fn(model, batch).backward()
            optimizer.step()
        return model, loss_fn, loader, optimizer

    def test_small_steps_are_followed_and_large_ones_are_not(self):
        from driftax.torch import svag_check

        given = self.built(lambda torch, p: torch.optim.SGD(p, lr=0.02))
        assert svag_check(*given, steps=20, members=6).verdict == "valid"
        given = self.built(lambda torch, p: torch.optim.SGD(p, lr=1.7))
        assert svag_check(*given, steps=4, members=6).verdict == "not valid"

    def test_it_leaves_model_optimizer_and_generators_as_they_were(self):
        import torch

        from driftax.torch import svag_check

        model, loss_fn, loader, optimizer = self.built(lambda torch, p: torch.optim.AdamW(p, lr=1e-3))
        before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), torch.get_rng_state()))
        told = []
        svag_check(
            model, loss_fn, loader, optimizer, steps=2, members=4, progress=lambda s, words: told.append(s)
        )
        after = (model.state_dict(), optimizer.state_dict(), torch.get_rng_state())
        flat = [torch.utils._pytree.tree_leaves(one) for one in (before, after)]
        assert all(
            a == b if not torch.is_tensor(a) else torch.equal(a, b) for a, b in zip(*flat, strict=True)
        )
        assert told[-1] == 1.0 and told == sorted(told)

    @pytest.mark.parametrize("decay", [0.0, 0.1])
    def test_settings_and_state_of_a_factor_are_those_of_the_ladder(self, decay):
        import torch

        from driftax.torch.rehearsing import _scaled

        *_, optimizer = self.built(lambda torch, p: torch.optim.AdamW(p, lr=1e-3, weight_decay=decay))
        old = copy.deepcopy(optimizer)
        _scaled(optimizer, 8, 4)
        (new,), (was,) = optimizer.param_groups, old.param_groups
        assert new["lr"] == was["lr"] / 2 and new["eps"] == was["eps"] * 2
        assert new["betas"] == pytest.approx((1 - 0.1 / 4, 1 - 0.001 / 4))
        assert new["lr"] * new["weight_decay"] == pytest.approx(was["lr"] * decay / 4)
        (one,), (two,) = optimizer.state.values(), old.state.values()
        assert torch.equal(one["exp_avg_sq"], 4 * two["exp_avg_sq"]) and one["step"] == 4 * two["step"]
        assert torch.equal(one["exp_avg"], two["exp_avg"])

    @pytest.mark.parametrize(
        ("make", "asked", "words"),
        [
            (lambda torch, p: torch.optim.Adagrad(p), {}, "optimizer 'adagrad'"),
            (lambda torch, p: torch.optim.Adam(p, amsgrad=True), {}, "amsgrad=True"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"factors": (1,)}, "whole numbers of 2 or more"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"members": 3}, "members=4 or more"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"steps": 0}, "steps=1 or more"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"factors": ()}, "whole numbers of 2 or more"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"tolerance": 0.0}, "a share above 0"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"batch": 0}, "batch=1 or more"),
            (lambda torch, p: torch.optim.SGD(p, lr=0.1), {"looked_at": 0}, "looked_at=1 or more"),
        ],
    )
    def test_wrong_use(self, make, asked, words):
        from driftax.torch import svag_check

        with pytest.raises(DriftaxError, match=words):
            svag_check(*self.built(make), **asked)

    def test_a_loss_of_another_model_is_refused_and_its_gradients_are_left(self):
        import torch

        from driftax.torch import svag_check

        model, loss_fn, loader, optimizer = self.built(lambda torch, p: torch.optim.SGD(p, lr=0.1))
        before = [param.grad.clone() for param in model.parameters()]
        with pytest.raises(DriftaxError, match="no parameter of the model it is given"):
            svag_check(model, lambda _, batch: loss_fn(model, batch), loader, optimizer)
        assert all(torch.equal(p.grad, was) for p, was in zip(model.parameters(), before, strict=True))

    def test_a_loss_that_does_not_move_decides_nothing(self):
        from driftax.torch import svag_check

        given = self.built(lambda torch, p: torch.optim.SGD(p, lr=1e-30))
        assert "does not move" in svag_check(*given, steps=2, members=4).reason
