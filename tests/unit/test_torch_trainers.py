"""Trainers that clip gradients and accumulate them end at the weights and numbers of a plain loop that does."""

from __future__ import annotations

import pytest

pytestmark = [
    pytest.mark.needs_torch,
    pytest.mark.filterwarnings("ignore"),  # theirs
]

BATCH, ACCUMULATED, CLIPPED, EPOCHS = 4, 3, 0.05, 2  # 8 batches in an epoch: its last step has two of them
OPTIONS = {"every": 2, "units": 16, "curvature": True}


def plain(model, loader, loss_fn, loss_in_step):
    """Trains, measures every second step, and returns what was measured."""
    import torch

    from driftax.torch import NoiseProbe

    optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
    probe = NoiseProbe(model, loss_fn, loader, optimizer=optimizer, accumulate=ACCUMULATED, **OPTIONS)
    for _ in range(EPOCHS):
        batches = list(loader)
        for start in range(0, len(batches), ACCUMULATED):
            optimizer.zero_grad()
            for batch in batches[start : start + ACCUMULATED]:
                loss_in_step(batch).backward()
            assert torch.nn.utils.clip_grad_norm_(model.parameters(), CLIPPED) > CLIPPED
            optimizer.step()
            probe.step()
    return probe.measurements


def same_weights(*models):
    import torch

    first, *others = ([param.detach() for param in model.parameters()] for model in models)
    return all(torch.equal(a, b) for other in others for a, b in zip(first, other, strict=True))


def check_numbers(ours, theirs):
    """Every number of every measurement, bit for bit, and what is said of it but for the hour."""
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one.data.assign_attrs(time="").identical(other.data.assign_attrs(time=""))
        assert one.data.attrs["batch"] == BATCH * ACCUMULATED


def test_lightning_beside_a_plain_loop(tmp_path):
    import torch

    lightning = pytest.importorskip("lightning.pytorch")
    from driftax.torch.lightning import NoiseCallback

    def loss_fn(module, batch):
        return torch.nn.functional.cross_entropy(module(batch[0]), batch[1])

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            torch.manual_seed(1)  # for the dropout, too
            self.body = torch.nn.Sequential(
                torch.nn.Linear(5, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 3)
            )

        def forward(self, x):
            return self.body(x)

        def training_step(self, batch, index):
            return loss_fn(self, batch)

        def configure_optimizers(self):
            return torch.optim.AdamW(self.parameters(), 1e-2)

    torch.manual_seed(0)
    data = torch.utils.data.TensorDataset(torch.randn(32, 5), torch.randint(3, (32,)))
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH)

    def trained(callbacks):
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=EPOCHS, accelerator="cpu", logger=False, callbacks=callbacks, enable_progress_bar=False,
            enable_model_summary=False, enable_checkpointing=False, default_root_dir=tmp_path,
            gradient_clip_val=CLIPPED, accumulate_grad_batches=ACCUMULATED,
        )  # fmt: skip
        trainer.fit(module, loader)
        return module

    callback = NoiseCallback(loss_fn, **OPTIONS)
    by_hand = Module()
    measured = plain(by_hand, loader, loss_fn, lambda batch: loss_fn(by_hand, batch) / ACCUMULATED)
    assert same_weights(trained([]), trained([callback]), by_hand)
    check_numbers(callback.probe.measurements, measured)


def test_transformers_beside_a_plain_loop(tmp_path):
    import torch

    transformers = pytest.importorskip("transformers")
    from driftax.torch.transformers import NoiseCallback, model_loss

    torch.manual_seed(0)
    rows = [{"input_ids": row, "labels": row} for row in torch.randint(11, (32, 8))]
    none = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)

    def model():
        torch.manual_seed(1)
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=11, n_positions=8, **none)
        ).train()

    words = []  # of a step, by which the Trainer divides; which of them it counts depends on its version

    class InOrder(transformers.Trainer):
        def _get_train_sampler(self, *given):
            return torch.utils.data.SequentialSampler(rows)

        def compute_loss(self, *given, num_items_in_batch=None, **more):
            words.append(num_items_in_batch)
            return super().compute_loss(*given, num_items_in_batch=num_items_in_batch, **more)

    def trained(callbacks):
        network = model()
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=EPOCHS, per_device_train_batch_size=BATCH, report_to=[],
            use_cpu=True, save_strategy="no", disable_tqdm=True, max_grad_norm=CLIPPED, learning_rate=1e-2,
            gradient_accumulation_steps=ACCUMULATED, lr_scheduler_type="constant", optim="adamw_torch",
        )  # fmt: skip
        optimizer = torch.optim.AdamW(network.parameters(), 1e-2)
        trainer = InOrder(
            model=network,
            args=arguments,
            train_dataset=rows,
            callbacks=callbacks,
            optimizers=(optimizer, None),
        )
        trainer.train()
        return network

    loader = torch.utils.data.DataLoader(rows, BATCH, collate_fn=transformers.default_data_collator)
    by_hand = model()

    callback = NoiseCallback(**OPTIONS)
    with_probe, without = trained([callback]), trained([])
    measured = plain(
        by_hand, loader, model_loss, lambda batch: by_hand(**batch, num_items_in_batch=words.pop(0)).loss
    )
    assert same_weights(with_probe, without, by_hand)
    check_numbers(callback.probe.measurements, measured)
