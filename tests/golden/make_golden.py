"""Write the golden files: what Hugging Face transformers says, for tests/parity.rs to compare with.

    training/setup.sh && training/.venv/bin/python tests/golden/make_golden.py [NAME ...]

Writes beside this script: texts.json; for each small random model its folder, weights included, and
golden.json with token ids and logits for every text; default.json with the same for data/model;
activations.json with the logits of the model `bert` with each activation in its encoder. With names,
writes only the files of these models; `default` is the name of data/model, and `activations` that of
activations.json.
"""

import json
import sys
from pathlib import Path
from random import Random
from shutil import rmtree

import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file
from tokenizers import BertWordPieceTokenizer
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

import architectures

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

EDGE_CASES = [
    "",
    " ",
    "   \t \n ",
    "\u00a0\u2003\u3000",
    "a",
    "I like you.",
    "I LIKE YOU.",
    "I Like You.",
    "it's don't can't we'll they'd o'clock 'tis",
    "rock-and-roll mother-in-law e-mail - -- --- – — ―",
    "café naïve résumé Ångström İstanbul ẞ ß ﬁ ﬀ",
    "e\u0301 a\u030a n\u0303 o\u0308\u0304",
    "Œuvre ŒUVRE ĳ Ĳ ǅ",
    "ΑΒΓ αβγ Σίσυφος ΟΔΥΣΣΕΥΣ",
    "Привет, мир! ЁЖ ёж",
    "مرحبا بالعالم",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "안녕하세요 세계",
    "こんにちは世界 カタカナ",
    "我爱你。你好吗?",
    "中a文b字c",
    "\U00020000\U0002a6df rare ideographs",
    "😀",
    "😀😃😄",
    "I am happy 😀!",
    "👩‍👩‍👧‍👦 family 👍🏽 thumbs 🇫🇷 flag",
    "❤️ ❤ ♥",
    "nul\x00inside",
    "\x00",
    "\x01\x02\x03\x1f\x7f\x80\x9f",
    "bell\x07 tab\there\r\nnew line\x0bvertical\x0cfeed",
    "soft\u00adhyphen zero\u200bwidth \u200ejoiner\u200d \ufeffbom",
    "line\u2028separator paragraph\u2029separator",
    "replacement \ufffd character \ufffe noncharacter",
    "\u202eright to left\u202c override",
    "\ue000 private \U000f0000 use \U0010ffff last",
    "[CLS] [SEP] [PAD] [UNK] [MASK]",
    "[cls] [ SEP ] [SEP][SEP]x[MASK]y",
    "##ing ## #hash # #",
    "@user http://example.com/a?b=c&d=e#f user@example.com",
    "1 12 123 1234567890 1,234.56 3.14e-10 ½ ² ① Ⅷ",
    "$5 €5 £5 ¥5 ₿5 5% 5‰ 5°C",
    "!@#$%^&*()_+-=[]{}|;':\",./<>?`~\\",
    "«quoted» „quoted“ “quoted” ‘quoted’ ‹x› 「x」 ¿que? ¡hola!",
    "...... !!!!!! ?????? ,,,,,,",
    "a.b.c U.S.A. e.g. i.e. etc.",
    "snake_case camelCase kebab-case SCREAMING_CASE",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "supercalifragilisticexpialidocious" * 4,
    "hahahahahahaha sooooooo goooooood nooooooo",
    "\u0301\u0302 lone marks \u0303",
    "क्षि त्र ज्ञ",
    "𝓕𝓪𝓷𝓬𝔂 𝕥𝕖𝕩𝕥 ｆｕｌｌｗｉｄｔｈ",
    "ᏣᎳᎩ ᚠᚢᚦ 𐌰𐌱𐌲",
    "H₂O x² aⁿ ™ © ®",
    "<p>html &amp; entities</p>",
    "{\"json\": [1, 2, null]}",
    "SELECT * FROM t; -- comment",
    "I " * 300,
    "ha " * 254 + "a b c d",
    " ".join(f"w{i}" for i in range(40)),
]


def texts() -> list[str]:
    random = Random(3)
    out = list(EDGE_CASES)
    reviews = pq.read_table(ROOT / "data/reviews.parquet")["text"].to_pylist()
    out += [text for text in dict.fromkeys(reviews) if text is not None]
    # Around the cut: [CLS] and [SEP] leave room for 510 words of one token each.
    out += ["sad " * count for count in (508, 509, 510, 511, 512, 600)]
    out += ["joy " * 509 + "x" * 20, "爱" * 509, "爱" * 511, "." * 700, "love " * 4_000]
    ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x900, 0xDFF), (0x1E00, 0x27BF)]
    ranges += [(0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF), (0x1F300, 0x1FAFF)]
    for _ in range(60):
        mixed = random.sample(ranges, 3) + [(0x61, 0x7A), (0x20, 0x20)]
        letters = [chr(random.randint(*random.choice(mixed))) for _ in range(random.randint(1, 60))]
        out.append("".join(letters))
    return list(dict.fromkeys(out))


SMALL_MODELS = {
    "gelu-json": dict(
        shape=dict(dim=32, n_heads=4, n_layers=2, hidden_dim=64, activation="gelu", max_position_embeddings=64),
        labels=["negative", "neutral", "positive"], dtype=torch.float32, lowercase=True, files="json",
    ),
    "relu-cased": dict(
        shape=dict(dim=48, n_heads=3, n_layers=3, hidden_dim=80, activation="relu", max_position_embeddings=40),
        labels=["a", "b", "c", "d", "e"], dtype=torch.bfloat16, lowercase=False, files="vocab",
    ),
    "multi-label": dict(
        shape=dict(dim=20, n_heads=5, n_layers=1, hidden_dim=52, activation="gelu", max_position_embeddings=128),
        labels=[f"label {i}" for i in range(11)], dtype=torch.float16, lowercase=True, files="vocab",
        problem_type="multi_label_classification", strip_accents=False,
    ),
    "one-head": dict(
        shape=dict(dim=25, n_heads=1, n_layers=4, hidden_dim=31, activation="relu", max_position_embeddings=512),
        labels=["no", "yes"], dtype=torch.float32, lowercase=False, files="json",
    ),
}


def make_small(folder: Path, spec: dict, corpus: list[str], seed: int) -> None:
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    strip_accents = spec.get("strip_accents")
    trained = BertWordPieceTokenizer(lowercase=spec["lowercase"], strip_accents=strip_accents)
    trained.train_from_iterator(corpus, vocab_size=900, min_frequency=2, show_progress=False)
    pieces = [piece for piece, _ in sorted(trained.get_vocab().items(), key=lambda pair: pair[1])]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "DistilBertTokenizer",
        "do_lower_case": spec["lowercase"],
        "strip_accents": strip_accents,
        "model_max_length": spec["shape"]["max_position_embeddings"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    if spec["files"] == "json":
        AutoTokenizer.from_pretrained(folder).backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
        (folder / "vocab.txt").unlink()

    torch.manual_seed(seed)
    model = DistilBertForSequenceClassification(
        DistilBertConfig(
            vocab_size=len(pieces),
            id2label=dict(enumerate(spec["labels"])),
            label2id={label: i for i, label in enumerate(spec["labels"])},
            problem_type=spec.get("problem_type"),
            **spec["shape"],
        )
    )
    for name, parameter in model.named_parameters():
        scale = 0.3 if parameter.ndim > 1 else 0.1
        noise = torch.randn_like(parameter) * scale
        parameter.data = noise + (1.0 if "orm.weight" in name else 0.0)
    weights = {name: tensor.to(spec["dtype"]).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)


@torch.no_grad()
def golden(folder: Path, corpus: list[str]) -> dict:
    config = AutoConfig.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_config(config).eval().float()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    whole = tokenizer(corpus, truncation=False, verbose=False)["input_ids"]
    limit = architectures.longest(config)
    cut = tokenizer(corpus, truncation=True, max_length=limit)["input_ids"]
    logits = [model(torch.tensor([ids])).logits[0].tolist() for ids in cut]
    return {
        "labels": [config.id2label[i] for i in range(config.num_labels)],
        "ids": cut,
        "truncated": [len(ids) > limit for ids in whole],
        "logits": logits,
    }


ACTIVATIONS = [
    "gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate", "relu",
    "silu", "swish", "tanh",
]
"""The names of activations that are supported."""


@torch.no_grad()
def activations(folder: Path, corpus: list[str]) -> dict:
    """The logits of a model with each activation in its encoder, for the first texts."""
    ids = AutoTokenizer.from_pretrained(folder)(corpus[:40], truncation=True)["input_ids"]
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model.safetensors").items()}
    logits = {}
    for name in ACTIVATIONS:
        config = AutoConfig.from_pretrained(folder, hidden_act=name)
        model = AutoModelForSequenceClassification.from_config(config).eval().float()
        model.load_state_dict(weights)
        logits[name] = [model(torch.tensor([row])).logits[0].tolist() for row in ids]
    return logits


def write(path: Path, value) -> None:
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes")


def make_architecture(name: str, corpus: list[str]) -> None:
    """Tries seeds until every text has a label that stands out."""
    for seed in range(1_000):
        architectures.make(HERE / name, architectures.MODELS[name], corpus, seed)
        texts = corpus + architectures.LITERALS
        expected = golden(HERE / name, texts)
        if architectures.margin(expected["logits"]) >= architectures.MARGIN:
            write(HERE / name / "golden.json", expected | {"more_texts": architectures.LITERALS})
            return


def main() -> None:
    names = sys.argv[1:]
    corpus = texts()
    if not names:
        write(HERE / "texts.json", corpus)
    if not names or "default" in names:
        write(HERE / "default.json", golden(ROOT / "data/model", corpus))
    for seed, (name, spec) in enumerate(SMALL_MODELS.items()):
        if not names or name in names:
            make_small(HERE / name, spec, corpus, seed)
            write(HERE / name / "golden.json", golden(HERE / name, corpus))
    for name in architectures.MODELS:
        if not names or name in names:
            make_architecture(name, corpus)
    if not names or "activations" in names:
        write(HERE / "activations.json", activations(HERE / "bert", corpus))
    print(f"{len(corpus)} texts")


if __name__ == "__main__":
    main()
