"""The model of both sides: a folder for this project, and the same weights as Spark NLP loads them."""

import re
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import DistilBertConfig, DistilBertForSequenceClassification

MAX_LENGTH = 512

PIECE = re.compile(r"[!-/:-@[-`{-~㐀-䶿一-鿿豈-﫿]|[^!-/:-@[-`{-~㐀-䶿一-鿿豈-﫿]+")
"""A mark of ASCII punctuation, an ideograph, or what is between them."""


def base_model(folder: Path, tokenizer: Path) -> Path:
    """Writes a model of the size of DistilBERT base with seeded random weights, in Hugging Face layout."""
    torch.manual_seed(11)
    labels = [f"label {label}" for label in range(6)]
    config = DistilBertConfig(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    return folder


class Model:
    """A model in Hugging Face layout."""

    def __init__(self, folder: Path) -> None:
        self.network = DistilBertForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_LENGTH)

    @property
    def labels(self) -> list[str]:
        labels = self.network.config.id2label
        return [labels[label] for label in range(len(labels))]

    def scores(self, text: str) -> dict[str, float]:
        """The probability of each label by `transformers`."""
        return self._scores(self.tokenizer.encode(text).ids)

    def scores_of_first_pieces(self, tokens: list[str]) -> dict[str, float]:
        """The same for the first `PIECE` of each token, which is what Spark NLP keeps of it."""
        pieces = [PIECE.match(self.tokenizer.normalizer.normalize_str(token).strip()) for token in tokens]
        word_pieces = [piece for match in pieces if match for piece in self.tokenizer.model.tokenize(match[0])]
        start, *_, end = self.tokenizer.encode("").ids
        return self._scores([start, *(piece.id for piece in word_pieces), end])

    @torch.inference_mode()
    def _scores(self, ids: list[int]) -> dict[str, float]:
        probabilities = self.network(torch.tensor([ids])).logits[0].softmax(-1).tolist()
        return dict(zip(self.labels, probabilities, strict=True))

    def export(self, folder: Path) -> Path:
        """Writes the model as `DistilBertForSequenceClassification.loadSavedModel` reads it."""
        assets = folder / "assets"
        assets.mkdir(parents=True)
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        (assets / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.get)) + "\n", encoding="utf-8")
        (assets / "labels.txt").write_text("\n".join(self.labels) + "\n", encoding="utf-8")
        inputs = ["input_ids", "attention_mask"]
        axes = {name: {0: "batch", 1: "length"} for name in inputs} | {"logits": {0: "batch"}}
        example = torch.ones(2, 8, dtype=torch.int64)
        torch.onnx.export(
            self.network, (example, example), folder / "model.onnx", dynamo=False, opset_version=14,
            input_names=inputs, output_names=["logits"], dynamic_axes=axes,
        )  # fmt: skip
        return folder
