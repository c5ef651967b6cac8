"""The networks: MiniLM in DistilBERT form (the student, and a teacher), MPNet (a teacher), and export."""

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


def minilm(labels: list[str]) -> DistilBertForSequenceClassification:
    """MiniLM-L6's encoder under DistilBERT's names, with a new classification head.

    BERT adds token-type row 0 to every position of a single text, so that row moves into the
    position embeddings; the pooler has no counterpart and is dropped.
    """
    bert = json.loads((MINILM / "config.json").read_text())
    config = DistilBertConfig(
        vocab_size=bert["vocab_size"],
        max_position_embeddings=bert["max_position_embeddings"],
        n_layers=bert["num_hidden_layers"],
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
