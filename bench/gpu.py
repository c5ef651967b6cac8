"""Compare the candle backend on a GPU with PyTorch, on the same card, weights and texts, in one run.

    python bench/gpu.py [--programs FOLDER] [--architecture NAME] [--texts N] [--words N] [--device DEVICE]

The model has base size and seeded random weights. Each engine gets all texts, which it tokenizes, sorts by length and
classifies in padded batches of a number of tokens; the best of the --budgets is reported, and of each the best of three
passes, without loading. PyTorch runs the model of `transformers` as it loads it, tokenizes by the library `tokenizers`
on all cores, and copies the logits of a pass from the card once; its forward passes are also reported alone.

The programs are built by
`cargo build --release -p emotion-classifier --features cuda --example throughput --example logits`; the folder is by
default target/release/examples. Python needs torch, transformers and pyarrow.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

import random_model

# Otherwise the tokenizer runs on one core after the first subprocess.
os.environ["TOKENIZERS_PARALLELISM"] = "true"

ROOT = Path(__file__).parent.parent
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
PASSES = 3


def sample_texts(count: int, words: int) -> list[str]:
    """Distinct texts of half to one and a half times so many words, which are those of the sample data."""
    rows = pq.read_table(ROOT / "data/reviews.parquet")["text"].to_pylist()
    known = " ".join(text for text in rows if text).split()
    random = np.random.default_rng(11)
    lengths = random.integers(max(words // 2, 1), words * 3 // 2 + 1, count)
    texts = (" ".join(random.choice(known, length)) for length in lengths)
    return list(dict.fromkeys(texts))


def batches(encodings: list, budget: int):
    """The numbers of the texts of each batch, and their padded ids and mask; longest first."""
    order = sorted(range(len(encodings)), key=lambda row: -len(encodings[row].ids))
    start = 0
    while start < len(order):
        longest = len(encodings[order[start]].ids)
        rows = order[start : start + max(budget // longest, 1)]
        ids = np.zeros((len(rows), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, : len(encodings[row].ids)] = encodings[row].ids
            mask[at, : len(encodings[row].ids)] = 1
        yield rows, torch.from_numpy(ids), torch.from_numpy(mask)
        start += len(rows)


@torch.inference_mode()
def forward(model, parts) -> torch.Tensor:
    """The logits of every text, in the order of the batches' rows."""
    device = model.device
    logits = [model(ids.to(device), attention_mask=mask.to(device)).logits.float() for _, ids, mask in parts]
    return torch.cat(logits).cpu()


def best_seconds(run) -> float:
    seconds = []
    for _ in range(PASSES):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def pytorch(folder: Path, tokenizer: Tokenizer, texts: list[str], precision: str, device: str, budgets: list[int]):
    """Reports the rates without tokenization and with it; in float32 also with TF32."""
    encodings = tokenizer.encode_batch(texts)
    parts = {budget: list(batches(encodings, budget)) for budget in budgets}
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=PRECISIONS[precision]).eval().to(device)

    def whole(budget: int) -> torch.Tensor:
        return forward(model, batches(tokenizer.encode_batch(texts), budget))

    for tf32 in [False, True] if precision == "float32" and device != "cpu" else [False]:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        name = f"PyTorch {precision}" + ", TF32" * tf32
        alone = {budget: best_seconds(lambda: forward(model, parts[budget])) for budget in budgets}
        report(f"{name}, without tokenization", texts, alone)
        report(name, texts, {budget: best_seconds(lambda: whole(budget)) for budget in budgets})
    torch.backends.cuda.matmul.allow_tf32 = False


RATES = {}
"""The best rate of each row of the table, and its number of tokens in a batch."""


def report(name: str, texts: list[str], seconds: dict[int, float]) -> None:
    rates = {budget: len(texts) / passed for budget, passed in seconds.items()}
    found = ", ".join(f"{rate:.0f} in batches of {budget} tokens" for budget, rate in rates.items())
    print(f"{name}, texts/s: {found}", flush=True)
    RATES[name] = max((rate, budget) for budget, rate in rates.items())


def ours(programs: Path, folder: Path, file: Path, texts: list[str], precision: str, device: str, budgets: list[int]):
    seconds = {}
    for budget in budgets:
        command = [programs / "throughput", folder, file, "backend=candle", f"device={device}"]
        command += [f"precision={precision}", f"batch_tokens={budget}"]
        output = subprocess.run(command, capture_output=True, text=True)
        if output.returncode:
            print(f"ours in {precision}, batches of {budget}: {output.stderr.strip()}", flush=True)
            return
        seconds[budget] = len(texts) / json.loads(output.stdout)["texts_per_second"]
    report(f"ours {precision}", texts, seconds)


def parity(programs: Path, folder: Path, tokenizer: Tokenizer, texts: list[str], device: str) -> None:
    """Prints the differences of logits from those of PyTorch in float32 on the CPU."""
    encodings = tokenizer.encode_batch(texts)
    parts = list(batches(encodings, 4096))
    order = [row for rows, _, _ in parts for row in rows]

    def logits(dtype, on):
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval().to(on)
        found = forward(model, parts)
        return found[torch.tensor(order).argsort()]

    expected = logits(torch.float32, "cpu")
    file = folder / "texts.json"
    file.write_text(json.dumps(texts))
    for precision, dtype in PRECISIONS.items():
        rows = {"PyTorch": logits(dtype, device)}
        output = subprocess.run([programs / "logits", folder, file, precision, device], capture_output=True, text=True)
        if output.returncode == 0:
            answers = json.loads(output.stdout)
            assert [ids for ids, _ in answers] == [encoding.ids for encoding in encodings], "token ids differ"
            rows["ours"] = torch.tensor([logits for _, logits in answers])
        else:
            print(f"ours in {precision}: {output.stderr.strip()}")
        for name, found in rows.items():
            labels = (found.argmax(1) == expected.argmax(1)).sum()
            worst = (found - expected).abs().max()
            print(f"{name} in {precision}: |Δlogit| {worst:.1e}, {labels} of {len(texts)} labels equal", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, default=ROOT / "target/release/examples")
    parser.add_argument("--architecture", choices=random_model.CONFIGS, default="distilbert")
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=18)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--budgets", type=int, nargs="+", default=[8192, 32_768])
    parser.add_argument("--parity", type=int, default=500, help="compare the logits of so many texts")
    args = parser.parse_args()

    texts = sample_texts(args.texts, args.words)
    with tempfile.TemporaryDirectory() as folder:
        folder = random_model.make(Path(folder), args.architecture, texts)
        file = folder / "texts.txt"
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(512)
        tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts)) / len(texts)
        name = torch.cuda.get_device_name() if args.device != "cpu" else "CPU"
        print(f"{args.architecture} of base size on {name}: {len(texts)} texts, {tokens:.1f} tokens a text", flush=True)
        if args.parity:
            parity(args.programs, folder, tokenizer, texts[: args.parity], args.device)
        for precision in PRECISIONS:
            ours(args.programs, folder, file, texts, precision, args.device, args.budgets)
            pytorch(folder, tokenizer, texts, precision, args.device, args.budgets)

    mine = {name: rate for name, (rate, _) in RATES.items() if name.startswith("ours")}
    print(f"{'':42}{'texts/s':>9}{'batch':>8}" + "".join(f"{f'{name} is':>18}" for name in mine))
    for row, (rate, budget) in sorted(RATES.items()):
        ratios = "".join(f"{own / rate:17.2f}x" for own in mine.values())
        print(f"{row:42}{rate:9.0f}{budget:8}{ratios}")


if __name__ == "__main__":
    main()
