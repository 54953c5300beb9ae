"""The probe as a callback of Lightning and transformers, where they are installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from driftax._errors import DriftaxError

pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.filterwarnings("ignore"),  # theirs
]


def here(*names):
    return any(importlib.util.find_spec(name) for name in names)


@pytest.mark.skipif(here("lightning", "pytorch_lightning"), reason="lightning is installed")
def test_an_absent_lightning_is_named():
    with pytest.raises(DriftaxError, match="pip install lightning"):
        from driftax.torch.lightning import NoiseCallback  # noqa: F401


@pytest.mark.skipif(here("transformers"), reason="transformers is installed")
def test_absent_transformers_are_named():
    with pytest.raises(DriftaxError, match="pip install transformers"):
        from driftax.torch.transformers import NoiseCallback  # noqa: F401


def dataset():
    import torch

    torch.manual_seed(0)
    return torch.utils.data.TensorDataset(torch.randn(64, 5), torch.randint(3, (64,)))


def cross_entropy(module, batch):
    import torch

    return torch.nn.functional.cross_entropy(module(batch[0]), batch[1])


@pytest.mark.parametrize("probed", [False, True])
def test_lightning(tmp_path, probed):
    import torch

    lightning = pytest.importorskip("lightning.pytorch")
    from driftax.torch.lightning import NoiseCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(
                torch.nn.Linear(5, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 3)
            )

        def forward(self, x):
            return self.body(x)

        def training_step(self, batch, index):
            loss = cross_entropy(self, batch)
            self.log("loss", loss)
            return loss

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    def run(callbacks):
        torch.manual_seed(1)
        module = Module()
        loader = torch.utils.data.DataLoader(dataset(), batch_size=8, shuffle=True)
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
        trainer = lightning.Trainer(
            max_epochs=2,
            accelerator="cpu",
            logger=lightning.loggers.CSVLogger(tmp_path),
            callbacks=callbacks,
            **quiet,
        )
        trainer.fit(module, loader)
        return module, trainer

    if not probed:
        module, _ = run([])
        other, _ = run([NoiseCallback(cross_entropy, every=3, units=16)])
        assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))
        return
    callback = NoiseCallback(cross_entropy, every=4, units=16, curvature=True)
    _, trainer = run([callback])
    assert len(callback.probe.measurements) == 4
    trainer.logger.save()
    assert "driftax/covariance_trace/total" in next(tmp_path.rglob("metrics.csv")).read_text()
    assert "preconditioned_eigenvalue" in callback.probe.result().data


def test_transformers(tmp_path):
    import torch

    transformers = pytest.importorskip("transformers")
    from driftax.torch.transformers import NoiseCallback

    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=11, n_positions=8)
    torch.manual_seed(0)
    words = torch.randint(11, (40, 8))
    rows = [{"input_ids": row, "labels": row} for row in words]

    def run(callbacks):
        torch.manual_seed(1)
        model = transformers.GPT2LMHeadModel(config)
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=1, per_device_train_batch_size=4, report_to=[], use_cpu=True,
            save_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=rows, callbacks=callbacks)
        trainer.train()
        return model, trainer

    told = []
    callback = NoiseCallback(every=3, units=8, report=lambda found, step: told.append((step, found)))
    model, trainer = run([callback])
    plain, _ = run([])
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert [step for step, _ in told] == [3, 6, 9]
    assert any("driftax/noise_scale_low/total" in row for row in trainer.state.log_history)
    assert callback.probe.result().data.attrs["batch"] == 4


def test_driftax_imports_no_torch_until_it_is_asked_for():
    words = (
        "import sys, driftax, driftax.torch, driftax.torch.lightning, driftax.torch.transformers;"
        "driftax.measure; assert 'torch' not in sys.modules; driftax.torch.NoiseProbe; assert 'torch' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
