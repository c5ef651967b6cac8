"""Write the golden checkpoints of PyTorch: tests/golden/pickles, for the classifier's tests of weights.

    training/setup.sh && training/.venv/bin/python tests/golden/make_pickles.py

Writes a small random model, whose tokenizer is that of gelu-json, as model.safetensors and as
parameters.bin, which holds parameters in place of tensors and two transposed views of one storage;
and checkpoints that hold something other than tensors.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import DistilBertConfig, DistilBertForSequenceClassification

HERE = Path(__file__).parent
FOLDER = HERE / "pickles"


class Call:
    """Runs a function when it is read by a pickle reader that executes."""

    def __reduce__(self):
        return print, ("executed",)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    config = DistilBertConfig.from_pretrained(
        HERE / "gelu-json", dim=4, n_heads=2, n_layers=1, hidden_dim=6, max_position_embeddings=16
    )
    config.save_pretrained(FOLDER)
    torch.manual_seed(5)
    tensors = {
        name: torch.randn_like(tensor) * 0.3
        for name, tensor in DistilBertForSequenceClassification(config).state_dict().items()
    }
    save_file(tensors, FOLDER / "model.safetensors", metadata={"format": "pt"})
    names = ["distilbert.transformer.layer.0.attention.q_lin.weight", "distilbert.transformer.layer.0.attention.k_lin.weight"]
    shared = torch.stack([tensors[name].T.contiguous() for name in names])
    views = {name: shared[i].T for i, name in enumerate(names)}
    model = OrderedDict((name, torch.nn.Parameter(views.get(name, tensor))) for name, tensor in tensors.items())
    model["distilbert.embeddings.position_ids"] = torch.arange(16)
    model._metadata = OrderedDict([("", {"version": 1})])
    torch.save(model, FOLDER / "parameters.bin")
    torch.save({"weight": torch.zeros(2), "code": Call()}, FOLDER / "call.bin")
    torch.save({"state_dict": {}, "epoch": 3}, FOLDER / "training.bin")
    torch.save([1, 2], FOLDER / "list.bin")
    torch.save({"weight": torch.zeros(2)}, FOLDER / "legacy.bin", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    main()
