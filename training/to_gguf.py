"""Write a member as a GGUF file for llama.cpp: ``python to_gguf.py --member a --out a.gguf``.

Needs `pip install gguf safetensors`. The weights are those in members/, in float16; nothing is trained or changed.

The vocabulary has whole phrases, and the longest match is taken first. Of llama.cpp's tokenizers, T5's gives the same
result: it takes the best sum of scores, and since all words have the same score, fewer and longer words win. (RWKV's
takes the longest word, but does not end on a text that begins like a word and is none.) The chat template puts `<s>`
before a prompt.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, LlamaFileType, TokenType
from safetensors.numpy import load_file

MEMBERS = Path(__file__).parent / "members"
TEMPLATE = "{% for message in messages %}<s>{{ message['content'] }}{% endfor %}"
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def renamed(name: str) -> str:
    """The GGUF name of a Hugging Face Llama's tensor."""
    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in outer:
        return outer[name]
    _, _, layer, *inner, last = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(inner)]}.{last}"


def turned(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of q or k in llama.cpp's order: it rotates neighbours, Hugging Face the two halves of a head."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def escaped(token: str) -> str:
    """A token as SentencePiece writes it."""
    return token.replace(" ", "\u2581")


def write(member: Path, out: Path) -> None:
    """Write one file with everything: weights, vocabulary, chat template."""
    config = json.loads((member / "config.json").read_text(encoding="utf-8"))
    words = json.loads((member / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    tokens = sorted(words, key=words.__getitem__)
    heads = config["num_attention_heads"]
    writer = GGUFWriter(out, "llama")
    writer.add_name(f"unerring-{member.name}")
    writer.add_file_type(LlamaFileType.MOSTLY_F16)
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("t5")
    writer.add_token_list([escaped(token) for token in tokens])
    writer.add_token_scores([-1.0] * len(tokens))
    special = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, TokenType.CONTROL]
    writer.add_token_types(special + [TokenType.NORMAL] * (len(tokens) - len(special)))
    writer.add_unk_token_id(tokens.index("<unk>"))
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    for no in (writer.add_add_bos_token, writer.add_add_eos_token, writer.add_add_space_prefix):
        no(False)
    writer.add_remove_extra_whitespaces(False)
    writer.add_chat_template(TEMPLATE)
    for name, weight in load_file(member / "model.safetensors").items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = turned(weight, heads)  # noqa: PLW2901
        # norms are added up in float32
        writer.add_tensor(renamed(name), weight.astype(np.float32) if weight.ndim == 1 else weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--member", default="a", help="its name in the ensemble: a, b or c")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    write(MEMBERS / options.member, options.out)


if __name__ == "__main__":
    main()
