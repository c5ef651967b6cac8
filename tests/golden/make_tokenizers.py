"""Write the golden files of tokenizers: the token ids of AutoTokenizer for folders of many kinds.

    training/setup.sh && training/.venv/bin/python tests/golden/make_tokenizers.py

Writes beside this script, for the unit tests of the classifier's tokenizer, tokenizers/*/ (the files
of small tokenizers, without weights) and tokenizers.json (the texts, and for each folder their ids).
"""

import json
from io import BytesIO
from pathlib import Path
from shutil import rmtree
from tempfile import NamedTemporaryFile

from sentencepiece import SentencePieceTrainer
from tokenizers import BertWordPieceTokenizer, ByteLevelBPETokenizer, Tokenizer
from transformers import AutoTokenizer

HERE = Path(__file__).parent
FOLDERS = HERE / "tokenizers"
# Also the number of positions of the models that the tests suppose.
MAX_LENGTH = 24

TEXTS = [
    "",
    " ",
    "I like you.",
    "I LIKE You, Zoé! Ångström",
    "<user> hi",
    "hi <user>, <USER> and <user>x",
    "a[NEW]b [NEW] c [new]",
    "one <sp> two<sp>three  <sp>",
    "sub<word>way <word> !",
    "[CLS] [SEP] [MASK] [PAD] [UNK] <mask> <s> </s> <pad> <unk>",
    "x <mask> y<mask>z",
    "<extra> and [gap] or [far]",
    "lolly lol LOL",
    "我爱你 and 中a文",
    "joy 😀 naïve café",
    "tabs\tand\nlines\r\nend",
    "do it don't",
    "  leading and trailing  ",
    "the start is bad but the end is good . the start is bad but the end is good . it is so good !",
    "<user> " * 30,
    "word " * 40 + "<user> é [NEW]",
    "é" * 60,
    "supercalifragilistic" * 8,
]


def words() -> list[str]:
    corpus = TEXTS + ["the start is bad but the end is good", "I like you and joy", "do it now, don't", "hi there"]
    return [text.replace("<", " ").replace("[", " ") for text in corpus]


def pieces(lowercase: bool, special: list[str]) -> list[str]:
    trained = BertWordPieceTokenizer(lowercase=lowercase)
    trained.train_from_iterator(words(), vocab_size=160, min_frequency=1, show_progress=False)
    vocab = [piece for piece, _ in sorted(trained.get_vocab().items(), key=lambda pair: pair[1])]
    return special + [piece for piece in vocab if not piece.startswith("[") or len(piece) == 1]


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MPNET = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
MAX = {"model_max_length": 512}


def token(content: str, **properties) -> dict:
    plain = dict(content=content, lstrip=False, normalized=True, rstrip=False, single_word=False, special=False)
    return plain | properties


def cased_json(lowercase: bool = False, **changes) -> str:
    tokenizer = BertWordPieceTokenizer(
        {piece: i for i, piece in enumerate(pieces(False, BERT))}, lowercase=lowercase, strip_accents=False
    )
    tokenizer.add_special_tokens(BERT)
    return json.dumps(json.loads(tokenizer.to_str()) | changes, ensure_ascii=False)


def byte_pairs() -> dict[str, str]:
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(words(), vocab_size=330, min_frequency=2, special_tokens=ROBERTA, show_progress=False)
    state = json.loads(Tokenizer.from_str(trained.to_str()).to_str())["model"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in state["merges"]]
    return {
        "vocab.json": json.dumps(state["vocab"], ensure_ascii=False),
        "merges.txt": "\n".join(["#version: 0.2", *merges]) + "\n",
    }


def sentence_pieces(**options) -> bytes:
    """A Unigram model whose rules replace a few characters only, so that it is small."""
    model = BytesIO()
    with NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write("FF21\t41\nE9\t65\n9\t20\nA\t20\nD\t20\n")
        rules.flush()
        SentencePieceTrainer.train(
            sentence_iterator=iter(words()), model_writer=model, vocab_size=100, hard_vocab_limit=False,
            normalization_rule_tsv=rules.name, user_defined_symbols=["<sp>"], minloglevel=2, **options,
        )
    return model.getvalue()


def folders() -> dict[str, dict]:
    """The files of each folder; a dictionary is written as JSON."""
    xlm_roberta = {"config.json": {"model_type": "xlm-roberta"}, "sentencepiece.bpe.model": sentence_pieces()}
    special = dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]")
    deberta = {"config.json": {"model_type": "deberta-v2"}, "spm.model": sentence_pieces(**special)}
    lower = "\n".join(pieces(True, BERT)) + "\n"
    cased = pieces(False, BERT)
    size = len(pieces(True, BERT))
    user = token("<user>")
    decoder = {
        str(size): user,
        str(size + 1): token("[NEW]", special=True, normalized=False),
        str(size + 2): token("<sp>", lstrip=True, rstrip=True),
        str(size + 3): token("<word>", single_word=True),
        str(size + 4): token("lol"),
    }
    distilbert = {"config.json": {"model_type": "distilbert"}}
    roberta = {"config.json": {"model_type": "roberta"}} | byte_pairs()
    return {
        "added-decoder": distilbert | {"vocab.txt": lower, "tokenizer_config.json": MAX | {"added_tokens_decoder": decoder}},
        "added-decoder-cased": distilbert
        | {
            "vocab.txt": "\n".join(cased) + "\n",
            "tokenizer_config.json": MAX | {"do_lower_case": False, "added_tokens_decoder": {"500": user, "9000": token("[far]")}},
        },
        "added-file": distilbert
        | {
            "vocab.txt": lower,
            "added_tokens.json": {"<user>": size, "[NEW]": size + 1, "[gap]": size + 7, "lol": size + 2},
            "special_tokens_map.json": {"additional_special_tokens": ["[NEW]", "<extra>"], "mask_token": token("[MASK]", lstrip=True)},
        },
        "added-to-json": distilbert
        | {"tokenizer.json": cased_json(), "added_tokens.json": {"<user>": 7000}, "special_tokens_map.json": {"sep_token": "[SEP]"}},
        "decoder-changes-json": distilbert
        | {
            "tokenizer.json": cased_json(),
            "tokenizer_config.json": MAX | {"do_lower_case": False, "added_tokens_decoder": {"4": token("[MASK]", lstrip=True, special=True, normalized=False)}},
        },
        "json-lowercase": distilbert
        | {
            "tokenizer.json": cased_json(),
            "tokenizer_config.json": {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "strip_accents": True, "tokenize_chinese_chars": False},
        },
        "json-bare": distilbert | {"tokenizer.json": cased_json()},
        "json-generic": distilbert
        | {"tokenizer.json": cased_json(), "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}},
        "json-cuts-left": distilbert
        | {"tokenizer.json": cased_json(truncation={"direction": "Left", "max_length": 8, "strategy": "LongestFirst", "stride": 0})},
        "left": distilbert | {"vocab.txt": lower, "tokenizer_config.json": MAX | {"truncation_side": "left"}},
        "short": distilbert | {"vocab.txt": lower, "tokenizer_config.json": {"model_max_length": 9, "truncation_side": "left"}},
        "split-special": distilbert | {"vocab.txt": lower, "tokenizer_config.json": MAX | {"split_special_tokens": True}},
        "crlf": distilbert | {"vocab.txt": lower.replace("\n", "\r\n")},
        "blank-lines": distilbert | {"vocab.txt": lower.replace("[MASK]\n", "[MASK]\n\n") + "\n", "added_tokens.json": {"<user>": size + 2}},
        "repeated-pieces": distilbert | {"vocab.txt": lower + "good\nbad", "added_tokens.json": {"<user>": size}},
        "no-mask": distilbert | {"vocab.txt": lower.replace("[MASK]\n", "").replace("[PAD]\n", "")},
        "renamed-special": distilbert
        | {"vocab.txt": "\n".join(pieces(True, MPNET)), "tokenizer_config.json": {"cls_token": "<s>", "sep_token": {"__type": "AddedToken"} | token("</s>"), "pad_token": "<pad>", "mask_token": "<mask>"}},
        "mpnet": {"config.json": {"model_type": "mpnet"}, "vocab.txt": "\n".join(pieces(True, MPNET)) + "\n"},
        "roberta": roberta,
        "xlm-roberta": xlm_roberta,
        "xlm-roberta-added": xlm_roberta
        | {"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer", "added_tokens_decoder": {"950": user, "951": token("[NEW]", special=True)}}},
        "deberta": deberta,
        "deberta-lower": deberta
        | {"tokenizer_config.json": {"tokenizer_class": "DebertaV2Tokenizer", "do_lower_case": True, "split_by_punct": True, "added_tokens_decoder": {"950": user, "951": token("[NEW]", special=True)}}},
        "roberta-prefix": roberta
        | {"tokenizer_config.json": {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True, "added_tokens_decoder": {"900": user, "901": token("[NEW]", special=True)}}},
    }


def main() -> None:
    rmtree(FOLDERS, ignore_errors=True)
    golden = {}
    for name, files in folders().items():
        folder = FOLDERS / name
        folder.mkdir(parents=True)
        for file, content in files.items():
            if isinstance(content, dict):
                content = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        length = min(MAX_LENGTH, tokenizer.model_max_length)
        golden[name] = tokenizer(TEXTS, truncation=True, max_length=length)["input_ids"]
    lines = [f"{json.dumps(name)}: {json.dumps(ids, separators=(',', ':'))}" for name, ids in golden.items()]
    texts = json.dumps(TEXTS, ensure_ascii=False)
    (HERE / "tokenizers.json").write_text('{"texts": %s,\n"ids": {\n%s\n}}\n' % (texts, ",\n".join(lines)), encoding="utf-8")


if __name__ == "__main__":
    main()
