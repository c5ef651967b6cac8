"""The networks: MiniLM in DistilBERT form (the student, and a teacher), MPNet (a teacher), the rounding of int8, and export."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from transformers import DistilBertConfig, DistilBertForSequenceClassification, MPNetConfig, MPNetModel

PRETRAINED = Path(__file__).parent / ".pretrained"
MINILM = PRETRAINED / "minilm"
MPNET = PRETRAINED / "mpnet"


def pretrained_tokenizer(folder: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    return tokenizer


def word_embedding() -> torch.Tensor:
    """MiniLM's vectors of its word pieces, (pieces, hidden size)."""
    return load_file(MINILM / "model.safetensors")["embeddings.word_embeddings.weight"].float()


def spread(layers: int, pretrained: int) -> list[int]:
    """Which pre-trained layer each of `layers` layers starts from: evenly spaced ones, repeated in a
    deeper network."""
    return [(i + 1) * pretrained // layers - 1 if layers <= pretrained else i * pretrained // layers for i in range(layers)]


def minilm(labels: list[str], layers: int = 6) -> DistilBertForSequenceClassification:
    """MiniLM-L6's encoder under DistilBERT's names, with a new classification head.

    BERT adds token-type row 0 to every position of a single text, so that row moves into the
    position embeddings; the pooler has no counterpart and is dropped.
    """
    bert = json.loads((MINILM / "config.json").read_text())
    config = DistilBertConfig(
        vocab_size=bert["vocab_size"],
        max_position_embeddings=bert["max_position_embeddings"],
        n_layers=layers,
        n_heads=bert["num_attention_heads"],
        dim=bert["hidden_size"],
        hidden_dim=bert["intermediate_size"],
        activation=bert["hidden_act"],
        pad_token_id=bert["pad_token_id"],
        problem_type="single_label_classification",
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        seq_classif_dropout=0.1,
    )
    renames = {
        "attention.self.query": "attention.q_lin",
        "attention.self.key": "attention.k_lin",
        "attention.self.value": "attention.v_lin",
        "attention.output.dense": "attention.out_lin",
        "attention.output.LayerNorm": "sa_layer_norm",
        "intermediate.dense": "ffn.lin1",
        "output.dense": "ffn.lin2",
        "output.LayerNorm": "output_layer_norm",
    }
    source = load_file(MINILM / "model.safetensors")
    token_type = source.pop("embeddings.token_type_embeddings.weight")[0]
    source["embeddings.position_embeddings.weight"] += token_type
    weights = {}
    for name, tensor in source.items():
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        for old, new in renames.items():
            if f".{old}." in name:
                name = name.replace(f".{old}.", f".{new}.")
                break
        weights["distilbert." + name.replace("encoder.layer.", "transformer.layer.")] = tensor.float()
    layer = "distilbert.transformer.layer."
    pretrained = {name: weights.pop(name) for name in list(weights) if name.startswith(layer)}
    for i, origin in enumerate(spread(layers, bert["num_hidden_layers"])):
        of = f"{layer}{origin}."
        weights |= {name.replace(of, f"{layer}{i}."): tensor for name, tensor in pretrained.items() if name.startswith(of)}
    model = DistilBertForSequenceClassification(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.startswith(("pre_classifier", "classifier")) for name in missing), missing
    return model


class Mpnet(nn.Module):
    """MPNet base; the mean of a text's hidden states is classified, as it was pre-trained."""

    def __init__(self, labels: list[str]):
        super().__init__()
        settings = json.loads((MPNET / "config.json").read_text())
        self.encoder = MPNetModel(MPNetConfig(**settings), add_pooling_layer=False)
        source = load_file(MPNET / "model.safetensors")
        weights = {name: tensor.float() for name, tensor in source.items() if not name.startswith("pooler.")}
        missing, unexpected = self.encoder.load_state_dict(weights, strict=False)
        assert not missing and unexpected in ([], ["embeddings.position_ids"]), (missing, unexpected)
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(settings["hidden_size"], len(labels))

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.encoder(tokens, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        return self.classifier(self.dropout((states * mask).sum(1) / mask.sum(1)))


def with_labels(model: DistilBertForSequenceClassification, labels: list[str]) -> None:
    """Leaves the outputs of the labels, which come first, and drops those of the tags."""
    old = model.classifier
    model.classifier = nn.Linear(old.in_features, len(labels), device=old.weight.device)
    with torch.no_grad():
        model.classifier.weight.copy_(old.weight[: len(labels)])
        model.classifier.bias.copy_(old.bias[: len(labels)])
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.num_labels = len(labels)


class Rounded(torch.autograd.Function):
    """Rows rounded to 8-bit integers at a scale of their own; gradients pass unchanged (Bengio et al.,
    Estimating or Propagating Gradients Through Stochastic Neurons, 2013)."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor) -> torch.Tensor:
        rows = rows.float()
        scale = torch.linalg.vector_norm(rows, float("inf"), dim=-1, keepdim=True).clamp(min=1e-8) / 127
        return (rows / scale).round_().mul_(scale)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        return gradient


class RoundedLinear(nn.Linear):
    """A linear layer whose input and weights are rounded as int8 inference rounds them."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(Rounded.apply(states), Rounded.apply(self.weight), self.bias)


def round_linear_layers(model: DistilBertForSequenceClassification, on: bool) -> None:
    """Lets the encoder learn with the rounding of int8 inference, or without it."""
    for module in model.distilbert.transformer.modules():
        if isinstance(module, nn.Linear):
            module.__class__ = RoundedLinear if on else nn.Linear


def save(model: DistilBertForSequenceClassification, out: Path) -> None:
    """A Hugging Face folder, its weights in float16."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.cpu().half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors.part", metadata={"format": "pt"})
    (out / "model.safetensors.part").rename(out / "model.safetensors")
    model.config.architectures = ["DistilBertForSequenceClassification"]
    model.config.torch_dtype = "float16"
    model.config.save_pretrained(out)
    backend = json.loads((MINILM / "tokenizer.json").read_text(encoding="utf-8"))
    backend["truncation"] = backend["padding"] = None
    text = json.dumps(backend, ensure_ascii=False, separators=(",", ":"))
    (out / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
