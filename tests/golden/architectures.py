"""Small random models of the architectures other than DistilBERT, each with the tokenizer that its family has."""

import io
import json
import tempfile
from pathlib import Path
from shutil import rmtree

import torch
from safetensors.torch import save_file
from sentencepiece import SentencePieceTrainer, sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    BertWordPieceTokenizer,
    ByteLevelBPETokenizer,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

MARGIN = 1e-3
"""The least difference of the two largest logits of a text: ten times the tolerance of the tests."""

LITERALS = [
    "<s> </s> <pad> <unk> <mask>",
    "a<mask>b <mask> c<mask>",
    "<pad>",
    "so <pad><pad> sad <pad>",
    "[CLS] x [MASK]y [PAD] z[SEP]",
    "<s>NOTUSED </s>NOTUSED <unk>NOTUSED",
    "<S> <PAD> <Mask> [cls]",
    "▁ metaspace ▁▁x ▁",
    "Ġ byte Ċ level Ġx",
    "##a ### a",
]
"""Texts that contain special tokens and the marks of sub-words."""


def wordpiece(corpus: list[str]) -> Tokenizer:
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(corpus, vocab_size=500, min_frequency=2, show_progress=False, limit_alphabet=200)
    # The trained tokenizer has no post-processor until its vocabulary is given again.
    return BertWordPieceTokenizer(trained.get_vocab(), lowercase=True)._tokenizer


def byte_level(corpus: list[str]) -> Tokenizer:
    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trained.train_from_iterator(corpus, vocab_size=600, show_progress=False, special_tokens=special)
    trained.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer = trained._tokenizer
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def modernbert(corpus: list[str]) -> Tokenizer:
    trained = ByteLevelBPETokenizer(unicode_normalizer="nfc")
    special = ["[CLS]", "[SEP]", "[PAD]", "[UNK]"]
    trained.train_from_iterator(corpus, vocab_size=500, show_progress=False, special_tokens=special)
    trained.add_special_tokens([AddedToken("[MASK]", lstrip=True, special=True)])
    tokenizer = trained._tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 0), ("[SEP]", 1)]
    )
    return tokenizer


def sentence_pieces(corpus: list[str]) -> tuple[list[tuple[str, float]], bytes]:
    """The pieces with their scores and the compiled normalization of a SentencePiece model.

    The normalization is a few rules of `nmt_nfkc`, which is too large for a golden file.
    """
    rules = [(code, chr(code - 0xFEE0)) for code in range(0xFF01, 0xFF5F)]
    rules += [(0x2122, "TM"), (0x2460, "1"), (0xB2, "2"), (0xFB01, "fi"), (0xFB00, "ff"), (0xBD, "1\u20442")]
    rules += [(code, " ") for code in (0x09, 0x0A, 0x0D, 0xA0, 0x2003, 0x3000, 0x2028)]
    rules += [(code, "") for code in (0x01, 0x07, 0x7F, 0xAD, 0x200B, 0xFEFF)]
    lines = [f"{code:X}\t{' '.join(f'{ord(letter):X}' for letter in letters)}" for code, letters in rules]
    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        SentencePieceTrainer.train(
            sentence_iterator=iter(text for text in corpus if "\0" not in text),
            model_writer=model,
            vocab_size=700,
            character_coverage=0.98,
            normalization_rule_tsv=file.name,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
        )
    proto = sentencepiece_model_pb2.ModelProto.FromString(model.getvalue())
    return [(piece.piece, piece.score) for piece in proto.pieces], proto.normalizer_spec.precompiled_charsmap


def unigram(vocabulary: list[tuple[str, float]], normalizer, pre_tokenizer) -> Tokenizer:
    ids = {piece: id for id, (piece, _) in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=ids["<unk>"]))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[(token, ids[token]) for token in ("<s>", "</s>")],
    )
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    return tokenizer


def xlm_roberta(corpus: list[str]) -> Tokenizer:
    pieces, charsmap = sentence_pieces(corpus)
    special = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return unigram(
        special + pieces[3:] + [("<mask>", 0.0)],
        normalizers.Precompiled(charsmap),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace]),
    )


def camembert(corpus: list[str]) -> Tokenizer:
    pieces, charsmap = sentence_pieces(corpus)
    special = [("<s>NOTUSED", 0.0), ("<pad>", 0.0), ("</s>NOTUSED", 0.0), ("<unk>", 0.0), ("<unk>NOTUSED", -100.0)]
    return unigram(
        special + pieces[1:] + [("<mask>", 0.0)],
        normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]),
        pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
    )


def deberta(corpus: list[str]) -> Tokenizer:
    pieces, charsmap = sentence_pieces(corpus)
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    vocabulary = [(token, 0.0) for token in special] + pieces[3:]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    metaspace = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([metaspace])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.add_special_tokens(special + ["[MASK]"])
    return tokenizer


MODERNBERT = dict(
    local_attention=16, global_attn_every_n_layers=3, pad_token_id=2, bos_token_id=0, eos_token_id=1, cls_token_id=0,
    sep_token_id=1,
)
MODERNBERT_TOKENS = dict(
    model_input_names=["input_ids", "attention_mask"],
    cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]",
)

MODELS = {
    "bert": dict(
        shape=dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=40),
        config=dict(max_position_embeddings=48, layer_norm_eps=1e-6),
        labels=["sadness", "joy", "love", "anger"], tokenizer=wordpiece, tokenizer_class="BertTokenizer",
    ),
    "roberta": dict(
        shape=dict(hidden_size=20, num_attention_heads=2, num_hidden_layers=2, intermediate_size=36),
        config=dict(max_position_embeddings=50, type_vocab_size=1, layer_norm_eps=1e-5),
        labels=[f"label {i}" for i in range(7)], tokenizer=byte_level, tokenizer_class="RobertaTokenizer",
        problem_type="multi_label_classification",
    ),
    "xlm-roberta": dict(
        shape=dict(hidden_size=16, num_attention_heads=4, num_hidden_layers=3, intermediate_size=33),
        config=dict(max_position_embeddings=42, type_vocab_size=1, layer_norm_eps=1e-5),
        labels=["negative", "neutral", "positive"], tokenizer=xlm_roberta, tokenizer_class="XLMRobertaTokenizer",
    ),
    "camembert": dict(
        shape=dict(hidden_size=18, num_attention_heads=3, num_hidden_layers=1, intermediate_size=50),
        config=dict(max_position_embeddings=60, type_vocab_size=1, layer_norm_eps=1e-5, bos_token_id=5, eos_token_id=6),
        labels=["no", "yes"], tokenizer=camembert, tokenizer_class="CamembertTokenizer",
    ),
    "electra": dict(
        shape=dict(hidden_size=28, num_attention_heads=4, num_hidden_layers=2, intermediate_size=32, embedding_size=12),
        config=dict(max_position_embeddings=48, hidden_act="relu"),
        labels=["a", "b", "c", "d", "e"], tokenizer=wordpiece, tokenizer_class="ElectraTokenizer",
    ),
    "modernbert": dict(
        shape=dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=5, intermediate_size=20),
        config=dict(max_position_embeddings=120, classifier_pooling="cls", **MODERNBERT),
        labels=["sadness", "joy", "love", "anger"], tokenizer=modernbert, tokenizer_class="PreTrainedTokenizerFast",
        tokens=MODERNBERT_TOKENS,
    ),
    "modernbert-mean": dict(
        model_type="modernbert",
        shape=dict(hidden_size=20, num_attention_heads=2, num_hidden_layers=3, intermediate_size=30),
        config=dict(max_position_embeddings=90, classifier_pooling="mean", norm_eps=1e-6, **MODERNBERT),
        labels=["a", "b", "c", "d", "e"], tokenizer=modernbert, tokenizer_class="PreTrainedTokenizerFast",
        tokens=MODERNBERT_TOKENS, problem_type="multi_label_classification",
    ),
    "deberta-v2": dict(
        shape=dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=2, intermediate_size=30),
        config=dict(
            max_position_embeddings=70, type_vocab_size=2, layer_norm_eps=1e-6, relative_attention=True,
            pos_att_type="p2c|c2p", pooler_hidden_act="gelu", pooler_dropout=0,
        ),
        labels=["no", "yes"], tokenizer=deberta, tokenizer_class="DebertaV2Tokenizer",
        problem_type="multi_label_classification",
    ),
    "deberta-v3": dict(
        model_type="deberta-v2",
        shape=dict(hidden_size=24, num_attention_heads=3, num_hidden_layers=2, intermediate_size=32),
        config=dict(
            max_position_embeddings=512, type_vocab_size=0, layer_norm_eps=1e-7, relative_attention=True,
            position_biased_input=False, position_buckets=256, max_relative_positions=-1, share_att_key=True,
            norm_rel_ebd="layer_norm", pos_att_type="p2c|c2p", pooler_hidden_act="gelu", pooler_dropout=0,
        ),
        labels=["negative", "neutral", "positive"], tokenizer=deberta, tokenizer_class="DebertaV2Tokenizer",
    ),
}


def randomize(model: torch.nn.Module) -> None:
    """Weights for which hidden states and logits are of order 1, and every tensor matters."""
    for name, parameter in model.named_parameters():
        scale = 0.3 if parameter.ndim > 1 else 0.1
        parameter.data = torch.randn_like(parameter) * scale + (1.0 if "norm.weight" in name.lower() else 0.0)


@torch.no_grad()
def standardize(model: torch.nn.Module, sequences: list[list[int]]) -> None:
    """Gives the logits of each label mean 0 and variance 1, so that each label is the most probable of some texts."""
    logits = torch.cat([model(torch.tensor([ids])).logits for ids in sequences])
    *_, weight, bias = (tensor for name, tensor in model.named_parameters() if name.startswith("classifier"))
    bias.copy_((bias - logits.mean(0)) / logits.std(0))
    weight.div_(logits.std(0)[:, None])


def make(folder: Path, spec: dict, corpus: list[str], seed: int) -> None:
    rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec["tokenizer"](corpus).save(str(folder / "tokenizer.json"))
    config = AutoConfig.for_model(
        spec.get("model_type", folder.name),
        id2label=dict(enumerate(spec["labels"])),
        label2id={label: i for i, label in enumerate(spec["labels"])},
        problem_type=spec.get("problem_type"),
        vocab_size=Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size(),
        **spec["shape"],
        **spec["config"],
    )
    settings = {"tokenizer_class": spec["tokenizer_class"], "model_max_length": longest(config)}
    settings |= spec.get("tokens", {})
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for file in ("vocab.txt", "vocab.json", "merges.txt", "added_tokens.json", "special_tokens_map.json"):
        (folder / file).unlink(missing_ok=True)

    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    randomize(model)
    standardize(model, tokenizer(corpus, truncation=True)["input_ids"])
    weights = {name: tensor.to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)


def longest(config) -> int:
    """The most tokens of a sequence: models of RoBERTa's family number positions from the padding id plus one."""
    offset = config.pad_token_id + 1 if config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return config.max_position_embeddings - offset


def margin(logits: list[list[float]]) -> float:
    largest = torch.tensor(logits).topk(2).values
    return (largest[:, 0] - largest[:, 1]).min().item()
