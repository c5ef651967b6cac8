"""Models of full size with seeded random weights, for benchmarks."""

from pathlib import Path

import torch
from tokenizers import ByteLevelBPETokenizer, Tokenizer, processors
from transformers import AutoConfig, AutoModelForSequenceClassification

ROOT = Path(__file__).parent.parent
LABELS = [f"label {i}" for i in range(6)]
CONFIGS = {
    "distilbert": {},
    "bert": {},
    "electra": dict(hidden_size=768, num_attention_heads=12, intermediate_size=3072, embedding_size=768),
    "roberta": dict(vocab_size=50_265, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5),
}
"""The architectures, in base size."""


def byte_level(texts: list[str]) -> Tokenizer:
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(texts, vocab_size=20_000, show_progress=False, special_tokens=special)
    tokenizer = trained._tokenizer
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


@torch.no_grad()
def make(folder: Path, architecture: str, texts: list[str]) -> Path:
    """Saves a model with the tokenizer of its family, and gives its folder.

    The weights are as large as those of trained models. The logits of each label have mean 0 and variance 1 over some
    of the texts, so that each label is the most probable of some.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wordpiece = Tokenizer.from_file(str(ROOT / "data/model/tokenizer.json"))
    tokenizer = byte_level(texts) if architecture == "roberta" else wordpiece
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = {"id2label": dict(enumerate(LABELS)), "label2id": {label: i for i, label in enumerate(LABELS)}}
    config = AutoConfig.for_model(architecture, **ids, **CONFIGS[architecture])
    torch.manual_seed(11)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        noise = torch.randn_like(parameter) * 0.05
        parameter.copy_(noise if parameter.ndim > 1 else parameter + noise)
    *_, (_, weight), (_, bias) = model.named_parameters()
    sample = [tokenizer.encode(text).ids[:512] for text in texts[:64]]
    logits = torch.cat([model(torch.tensor([ids])).logits for ids in sample])
    bias.copy_((bias - logits.mean(0)) / logits.std(0))
    weight.div_(logits.std(0)[:, None])
    model.save_pretrained(folder)
    return folder
