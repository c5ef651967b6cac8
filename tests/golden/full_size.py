"""Compare models of full size, with seeded random weights, with Hugging Face transformers.

    cargo build --release -p emotion-classifier --example logits
    training/.venv/bin/python tests/golden/full_size.py target/release/examples/logits TEXTS FOLDER

The shapes are those of models on the hub; the weights are random, and the tokenizers are trained on the
texts of texts.json, of which the first TEXTS are compared. Writes 300 MB to 1.1 GB a model to FOLDER, and
prints the largest difference of a logit for each model.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

import architectures

HERE = Path(__file__).parent
ROBERTA = dict(vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
SHAPES = {
    "j-hartmann/emotion-english-distilroberta-base": dict(
        model_type="roberta", labels=7, config=dict(num_hidden_layers=6, **ROBERTA)
    ),
    "SamLowe/roberta-base-go_emotions": dict(
        model_type="roberta", labels=28, config=dict(problem_type="multi_label_classification", **ROBERTA)
    ),
    "bhadresh-savani/bert-base-uncased-emotion": dict(model_type="bert", labels=6, config={}),
    "cardiffnlp/twitter-xlm-roberta-base-sentiment": dict(
        model_type="xlm-roberta", labels=3, config=ROBERTA | dict(vocab_size=250_002)
    ),
}


def enlarge(tokenizer: Tokenizer, size: int) -> Tokenizer:
    """A Unigram tokenizer with pieces that no text has after the four special tokens, so that ids are large."""
    made = json.loads(tokenizer.to_str())
    vocabulary = made["model"]["vocab"]
    missing = size - len(vocabulary)
    vocabulary[4:4] = [[f"\uE000{number}", -100.0] for number in range(missing)]
    for token in made["added_tokens"]:
        token["id"] += missing * (token["id"] >= 4)
    return Tokenizer.from_str(json.dumps(made))


def make(folder: Path, shape: dict, corpus: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    small = architectures.MODELS[shape["model_type"]]
    tokenizer: Tokenizer = small["tokenizer"](corpus)
    if shape["model_type"] == "xlm-roberta":
        tokenizer = enlarge(tokenizer, shape["config"]["vocab_size"])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": small["tokenizer_class"], "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    id2label = {i: f"label {i}" for i in range(shape["labels"])}
    config = AutoConfig.for_model(shape["model_type"], id2label=id2label, **shape["config"])
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    # As large as the weights of trained models, whose logits are of order 1.
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn_like(parameter) * 0.05
        else:
            parameter.data += torch.randn_like(parameter) * 0.05
    architectures.standardize(model, AutoTokenizer.from_pretrained(folder)(corpus[:64], truncation=True)["input_ids"])
    model.save_pretrained(folder)


@torch.no_grad()
def expected(folder: Path, texts: list[str]) -> list:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    sequences = AutoTokenizer.from_pretrained(folder)(texts, truncation=True, max_length=512)["input_ids"]
    return [(ids, model(torch.tensor([ids])).logits[0].tolist()) for ids in sequences]


def ours(program: str, folder: Path, texts: Path) -> list:
    return json.loads(subprocess.run([program, folder, texts], check=True, capture_output=True).stdout)


def main() -> None:
    program, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    corpus = json.loads((HERE / "texts.json").read_text())
    texts = folder / "texts.json"
    folder.mkdir(parents=True, exist_ok=True)
    texts.write_text(json.dumps(corpus[:count]))
    torch.set_num_threads(os.cpu_count() or 1)
    for name, shape in SHAPES.items():
        model = folder / name
        make(model, shape, corpus)
        started = perf_counter()
        theirs = expected(model, corpus[:count])
        between = perf_counter()
        found = ours(program, model, texts)
        seconds = f"{between - started:.0f} s and {perf_counter() - between:.0f} s"
        assert [ids for ids, _ in found] == [ids for ids, _ in theirs], name
        a, b = (torch.tensor([logits for _, logits in rows]) for rows in (found, theirs))
        labels = (a.argmax(1) == b.argmax(1)).sum()
        difference = f"{(a - b).abs().max():.1e} of {b.abs().max():.1f}"
        print(f"{name}: |Δlogit| {difference}, {labels} of {count} labels equal, {seconds}", flush=True)


if __name__ == "__main__":
    main()
