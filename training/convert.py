"""Write one trained member in its two layouts: ``python convert.py --weights runs/a/weights.pt --member a``.

(``--member digits/a`` for one of digits.)

For the package: a CTranslate2 model, whose specification is filled from the arrays directly. For other engines:
Hugging Face's Llama layout (model.safetensors, tokenizer.json, config.json), in float16.

Whole numbers in the package go up to 64, not to 127. On x86 without VNNI an int8 product is the instruction
VPMADDUBSW, which adds two products of an activation (0..255) and a weight and cuts the sum off at 32,767 (Intel's
manual, volume 2). 2 x 255 x 64 = 32,640 fits, so that every processor computes the same sums. (ONNX Runtime and
PyTorch call it `reduce_range`.)
"""

import argparse
import json
import re
import shutil
from pathlib import Path

import numpy as np
import torch
from ctranslate2.specs import TransformerDecoderModelSpec
from ctranslate2.specs.common_spec import Activation
from ctranslate2.specs.model_spec import NumpyVariable, index_spec
from safetensors.numpy import load_file, save_file

import data
import digits
from data import SPECIAL
from model import NORM_EPSILON, Shape

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "unerring" / "adapters" / "embedded" / "weights"
HEADS = Shape.heads
LARGEST = 64  # of a weight as a whole number
Arrays = dict[str, np.ndarray]
Words = list[str]


def load(path: Path) -> Arrays:
    """The trained arrays, float32, by their Hugging Face names: of train.py, or of the Llama layout."""
    if path.suffix == ".safetensors":
        return {name: array.astype(np.float32) for name, array in load_file(path).items()}
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.float().numpy() for name, tensor in state.items()}


def layer_count(arrays: Arrays) -> int:
    return 1 + max(int(name.split(".")[2]) for name in arrays if name.startswith("model.layers."))


def ctranslate2_spec(arrays: Arrays, vocabulary: Words) -> TransformerDecoderModelSpec:
    """The decoder's specification with its weights: q, k and v are one matrix there."""
    spec = TransformerDecoderModelSpec.from_config(
        layer_count(arrays),
        HEADS,
        activation=Activation.SWISH,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=False,
        rotary_base=Shape.rope_theta,
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = arrays["model.embed_tokens.weight"]
    decoder.projection.weight = arrays["model.embed_tokens.weight"]
    decoder.layer_norm.gamma = arrays["model.norm.weight"]
    for number, layer in enumerate(decoder.layer):
        own = {name.split(".", 3)[3]: a for name, a in arrays.items() if name.startswith(f"model.layers.{number}.")}
        layer.self_attention.layer_norm.gamma = own["input_layernorm.weight"]
        layer.ffn.layer_norm.gamma = own["post_attention_layernorm.weight"]
        layer.self_attention.linear[0].weight = np.concatenate([own[f"self_attn.{x}_proj.weight"] for x in "qkv"])
        layer.self_attention.linear[1].weight = own["self_attn.o_proj.weight"]
        layer.ffn.linear_0.weight = own["mlp.gate_proj.weight"]
        layer.ffn.linear_0_noact.weight = own["mlp.up_proj.weight"]
        layer.ffn.linear_1.weight = own["mlp.down_proj.weight"]
    spec.register_vocabulary(vocabulary)
    spec.config.bos_token, spec.config.eos_token, spec.config.unk_token = "<s>", "</s>", "<unk>"
    spec.config.layer_norm_epsilon = NORM_EPSILON
    return spec


def quantize(spec: TransformerDecoderModelSpec) -> None:
    """Make the matrices int8, each row by a scale of its own, with whole numbers of at most `LARGEST`."""
    trained = {name: value.numpy().copy() for name, value in spec.variables().items() if not value.is_scalar()}
    spec.optimize(quantization="int8")
    stored = spec.variables()
    for name in stored:
        matrix, _, last = name.rpartition("_")
        if last == "scale" and isinstance(stored[matrix], NumpyVariable):  # otherwise it is another one's name
            scale = LARGEST / np.abs(trained[matrix]).max(axis=1)
            where, _, attribute = matrix.rpartition("/")
            part = index_spec(spec, where)
            setattr(part, attribute, NumpyVariable(np.rint(trained[matrix] * scale[:, None]).astype(np.int8)))
            setattr(part, f"{attribute}_scale", NumpyVariable(scale))


def write_ctranslate2(arrays: Arrays, vocabulary: Words, folder: Path, quantization: str) -> None:
    """model.bin, config.json and vocabulary.json, as `ctranslate2.Generator` loads them."""
    spec = ctranslate2_spec({name: array.copy() for name, array in arrays.items()}, vocabulary)
    spec.validate()
    if quantization == "int8":
        quantize(spec)
    else:
        spec.optimize(quantization=quantization)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec.save(str(folder))


def llama_config(arrays: Arrays) -> dict[str, object]:
    """config.json of the Hugging Face layout."""
    vocabulary, width = arrays["model.embed_tokens.weight"].shape
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": len(arrays["model.layers.0.mlp.gate_proj.weight"]),
        "num_hidden_layers": layer_count(arrays),
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": width // HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": Shape.positions,
        "rope_theta": Shape.rope_theta,
        "rms_norm_eps": NORM_EPSILON,
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float16",
        **special_ids(),
    }


def special_ids() -> dict[str, int]:
    names = {"bos_token_id": "<s>", "eos_token_id": "</s>", "pad_token_id": "<pad>"}
    return {key: SPECIAL.index(token) for key, token in names.items()}


def tokenizer(vocabulary: Words) -> dict[str, object]:
    """tokenizer.json: words cut out by one pattern, longest first; `<s>` goes before a prompt."""
    words = sorted(vocabulary[len(SPECIAL) :], key=len, reverse=True)
    begin = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    ids = [SPECIAL.index("<s>")]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": token, "special": True}
            | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
            for number, token in enumerate(SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Split",
            "pattern": {"Regex": "|".join(map(re.escape, words))},
            "behavior": "Isolated",
            "invert": False,
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": begin,
            "pair": [*begin, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": ids, "tokens": ["<s>"]}},
        },
        "decoder": {"type": "Fuse"},
        "model": {
            "type": "WordLevel",
            "vocab": {token: number for number, token in enumerate(vocabulary)},
            "unk_token": "<unk>",
        },
    }


def write_llama(arrays: Arrays, vocabulary: Words, folder: Path) -> None:
    """The Hugging Face layout; embeddings are tied, so there is no lm_head."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: array.astype(np.float16) for name, array in arrays.items()}
    save_file(half, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", llama_config(arrays))
    write_json(folder / "generation_config.json", {"do_sample": True, "max_new_tokens": 64, **special_ids()})
    write_json(folder / "tokenizer.json", tokenizer(vocabulary))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    write_json(folder / "tokenizer_config.json", {**settings, **names})


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="weights.pt of train.py")
    parser.add_argument("--member", required=True, help="its name: a, b or c, or digits/a and so on")
    parser.add_argument("--quantization", default="int8", help="CTranslate2 storage: int8, float16 or float32")
    parser.add_argument("--package", type=Path, default=PACKAGE, help="where the CTranslate2 layout goes")
    parser.add_argument("--members", type=Path, default=HERE / "members", help="where the Llama layout goes")
    options = parser.parse_args()
    arrays = load(options.weights)
    vocabulary = (digits if options.member.startswith("digits/") else data).VOCABULARY
    write_ctranslate2(arrays, vocabulary, options.package / options.member, options.quantization)
    write_llama(arrays, vocabulary, options.members / options.member)
    for record in ("train.log", "training.json"):
        if (options.weights.parent / record).exists():
            shutil.copy(options.weights.parent / record, options.members / options.member)


if __name__ == "__main__":
    main()
