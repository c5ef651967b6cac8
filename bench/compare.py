"""Compare the throughput with other libraries, on the same weights and texts, in one run.

    bench/compare.sh [--texts FILE] [--model FOLDER] [--architecture NAME] [--threads N] [--one-by-one]

The libraries are PyTorch, ONNX Runtime (also in dynamically quantized int8) and OpenVINO (also in int8 by the
post-training quantization of NNCF, calibrated with the first 300 texts), also in bfloat16 if the machine supports it.
Each gets the texts sorted by length, in padded batches of 32, tokenized by the library `tokenizers`. The engines run
alternately; the best of three rounds is reported, without loading.
`--one-by-one` passes one text at a time, in the order of the file: the latency is the inverse of the throughput.
`--architecture` uses a model of base size with seeded random weights instead of the default model; `--base` is
`--architecture distilbert`.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nncf
import numpy as np
import onnxruntime
import openvino
import pyarrow.parquet as pq
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from tokenizers import Tokenizer
from transformers import AutoModelForSequenceClassification

import random_model

ROOT = Path(__file__).parent.parent
BATCH = 32
CALIBRATION_TEXTS = 300
PRECISIONS = ["float32", "bfloat16", "int8"]


def batches(tokenizer: Tokenizer, texts: list[str], one_by_one: bool):
    if one_by_one:
        parts = ([tokenizer.encode(text)] for text in texts)
    else:
        encodings = sorted(tokenizer.encode_batch(texts), key=lambda encoding: len(encoding.ids))
        parts = (encodings[start : start + BATCH] for start in range(0, len(encodings), BATCH))
    for part in parts:
        longest = max(len(encoding.ids) for encoding in part)
        ids = np.zeros((len(part), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(part):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        yield ids, mask


def pytorch(folder: Path, dtype: torch.dtype):
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def run(ids, mask):
        return model(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask)).logits.float().numpy()

    return run


def export(folder: Path, path: Path) -> Path:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    example = torch.ones(2, 8, dtype=torch.int64)
    torch.onnx.export(
        model, (example, example), path, dynamo=False, opset_version=17,
        input_names=["ids", "mask"], output_names=["logits"],
        dynamic_axes={"ids": {0: "batch", 1: "length"}, "mask": {0: "batch", 1: "length"}, "logits": {0: "batch"}},
    )
    return path


def onnx_runtime(path: Path, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})[0]


def open_vino(core: openvino.Core, model: openvino.Model, threads: int, precision: str):
    config = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    compiled = core.compile_model(model, "CPU", config)
    return lambda ids, mask: compiled({"ids": ids, "mask": mask})[0]


def quantized(model: openvino.Model, tokenizer: Tokenizer, texts: list[str]) -> openvino.Model:
    """The model in int8 by post-training quantization, calibrated with the first of the texts."""
    texts = texts[:CALIBRATION_TEXTS]
    inputs = batches(tokenizer, texts, one_by_one=True)
    calibration = nncf.Dataset([{"ids": ids, "mask": mask} for ids, mask in inputs])
    # Progress is no part of the table.
    with contextlib.redirect_stdout(sys.stderr):
        return nncf.quantize(model, calibration, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts))


def all_peers(model: Path, folder: Path, threads: int, tokenizer: Tokenizer, texts: list[str]) -> dict:
    torch.set_num_threads(threads)
    core = openvino.Core()
    exported = export(model, folder / "model.onnx")
    dynamic = folder / "int8.onnx"
    quantize_dynamic(exported, dynamic, weight_type=QuantType.QInt8)
    network = core.read_model(exported)
    peers = {
        "PyTorch float32": pytorch(model, torch.float32),
        "ONNX Runtime float32": onnx_runtime(exported, threads),
        "OpenVINO float32": open_vino(core, network, threads, "f32"),
        "ONNX Runtime int8": onnx_runtime(dynamic, threads),
    }
    # What NNCF leaves in floating point is computed in this precision.
    rest = "f32"
    if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        rest = "bf16"
        peers["PyTorch bfloat16"] = pytorch(model, torch.bfloat16)
        peers["OpenVINO bfloat16"] = open_vino(core, network, threads, "bf16")
    peers["OpenVINO int8"] = open_vino(core, quantized(network, tokenizer, texts), threads, rest)
    return peers


def rate(tokenizer: Tokenizer, texts: list[str], run, one_by_one: bool) -> float:
    started = time.perf_counter()
    for ids, mask in batches(tokenizer, texts, one_by_one):
        run(ids, mask)
    return len(texts) / (time.perf_counter() - started)


def ours(folder: Path, file: Path, threads: int, precision: str, one_by_one: bool) -> float:
    command = [ROOT / "target/release/examples/throughput", folder, file, f"threads={threads}", f"precision={precision}"]
    command += ["texts_a_call=1"] * one_by_one
    output = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(output.stdout)["texts_per_second"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path, help="one text per line [default: the texts of data/reviews.parquet]")
    parser.add_argument("--words", type=int, help="join texts to this many words each")
    parser.add_argument("--model", type=Path, default=ROOT / "data/model")
    parser.add_argument("--architecture", choices=random_model.CONFIGS)
    parser.add_argument("--base", action="store_const", const="distilbert", dest="architecture")
    parser.add_argument("--one-by-one", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()

    if args.texts:
        texts = args.texts.read_text(encoding="utf-8").splitlines()
    else:
        rows = pq.read_table(ROOT / "data/reviews.parquet")["text"].to_pylist()
        texts = [" ".join(text.split()) for text in dict.fromkeys(rows) if text and len(text) < 1000]
    if args.words:
        words = " ".join(texts).split()
        texts = [" ".join(words[i : i + args.words]) for i in range(0, len(words) - args.words + 1, args.words)]

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = random_model.make(folder, args.architecture, texts) if args.architecture else args.model
        file = folder / "texts.txt"
        file.write_text("\n".join(texts) + "\n", encoding="utf-8")
        tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
        tokenizer.enable_truncation(512)
        tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts)) / len(texts)
        peers = all_peers(model, folder, args.threads, tokenizer, texts)
        best = dict.fromkeys([*PRECISIONS, *peers], 0.0)
        for _ in range(3):
            for precision in PRECISIONS:
                best[precision] = max(best[precision], ours(model, file, args.threads, precision, args.one_by_one))
            for name, run in peers.items():
                best[name] = max(best[name], rate(tokenizer, texts, run, args.one_by_one))

    name = f"{args.architecture} of base size" if args.architecture else "default model"
    how = ", one by one" * args.one_by_one
    print(f"{name}, {len(texts)} texts, {tokens:.1f} tokens a text, {args.threads} threads{how}")
    print(f"{'':22}{'texts/s':>9}" + "".join(f"{'ours ' + precision + ' is':>18}" for precision in PRECISIONS))
    for rival, value in best.items():
        ratios = "".join(f"{best[precision] / value:17.2f}x" for precision in PRECISIONS)
        print(f"{'ours ' * (rival in PRECISIONS) + rival:22}{value:9.1f}{ratios}")


if __name__ == "__main__":
    main()
