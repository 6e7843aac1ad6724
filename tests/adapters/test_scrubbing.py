"""Secrets are removed: keys in any encoding, and keys mistyped into a model's specification."""

import json
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from unerring import InputError
from unerring.adapters.http.spec import Secret, parse_spec
from unerring.adapters.openai_batch.spec import parse_batch_spec
from unerring.adapters.scrubbing import without_secrets
from unerring.cli.main import command_line

KEYS = (
    "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1B",
    "4f1e9b2c-7d8a-6053-aa17-9c01e8d2f4b7",
    "key+/with=signs_0123456789-Zz",
)


def disguises(key):
    """The encodings in which a server may repeat a key, by name."""
    half = len(key) // 2
    yield "as it is", key
    yield "the first 14", key[:14]
    yield "the last 14", key[-14:]
    yield "the first half", key[: half + 1]
    yield "the middle", key[4:-4]
    yield "upper case", key.upper()
    yield "lower case", key.lower()
    yield "spaced", " ".join(key)
    yield "in groups", " ".join(key[at : at + 4] for at in range(0, len(key), 4))
    yield "hyphenated", "-".join(key)
    yield "over lines", "\n".join(key[at : at + 5] for at in range(0, len(key), 5))
    yield "quoted", quote(key, safe="")
    yield "quoted whole", "".join(f"%{ord(char):02X}" for char in key)
    yield "hexadecimal", key.encode().hex()
    yield "hexadecimal, upper case", key.encode().hex(" ").upper()
    yield "escaped", "".join(f"\\x{ord(char):02x}" for char in key)
    yield "JSON", json.dumps(key)
    yield "JSON escapes", "".join(f"\\u{ord(char):04x}" for char in key)
    yield "JSON escapes of signs", "".join(char if char.isalnum() else f"\\u{ord(char):04x}" for char in key)
    yield "HTML references", "".join(f"&#{ord(char)};" for char in key)
    yield "HTML references of four digits", "".join(f"&#{ord(char):04d};" for char in key)
    yield "hexadecimal HTML references", "".join(f"&#x{ord(char):X};" for char in key)
    yield "HTML references of signs", "".join(char if char.isalnum() else f"&#{ord(char)};" for char in key)
    yield "base64", b64encode(key.encode()).decode()
    yield "url-safe base64", urlsafe_b64encode(key.encode()).decode().rstrip("=")


def test_a_key_is_removed_in_any_encoding():
    """At most three letters or digits of the key are left, and all of the text around it."""
    shown = []
    for key in KEYS:
        secret = Secret(key, "UNERRING_API_KEY")
        for name, given in disguises(key):
            text = secret.scrubbed(f"the answer {given} is refused, 12 of 34")
            left = text.removeprefix("the answer ").removesuffix(" is refused, 12 of 34")
            if "[key]" not in left or sum(map(str.isalnum, left.replace("[key]", ""))) > 3:
                shown.append(f"{name}: {text}")
        for before in ("a", "ab", "Bearer ", "user:"):  # where the key begins in a group of base64
            login = b64encode(f"{before}{key}".encode()).decode()
            left = secret.scrubbed(login)
            if "[key]" not in left or len(left) > len("[key]") + 4 * len(before) // 3 + 6:
                shown.append(f"base64 behind {before}: {left}")
    assert not shown, shown


@pytest.mark.parametrize("key", ["EMPTY", "ollama", "local-development", "sk-or"])
def test_a_placeholder_changes_no_answer(key):
    """The placeholder key of a local server is matched only as written, since answers are votes."""
    text = f"{key.upper()} {' '.join(key)} local development {key[:4]}"
    assert Secret(key, "UNERRING_API_KEY").scrubbed(text) == text
    answer = "move = [1, 0, 2]\nnext_state = [[3, 2], [], [1]]\nsk-proj-A"
    assert Secret(KEYS[0], "UNERRING_API_KEY").scrubbed(answer) == answer


LOGIN, KEY = "hunter2secret", "sk-proj-4f1e9b2c7d8a6053aa17"
MISTYPED = [
    f"openai/me:{LOGIN}@gpu/v1",
    f"openai/me:{LOGIN}@gpu",
    f"openai/m@https://me:{LOGIN}@gpu/v1",
    f"openai/m@https://me:{LOGIN}/x@gpu/v1",
    f"opnai/m@https://me:{LOGIN}@gpu/v1",
    f"https://me:{LOGIN}@gpu/v1",
    f"openai/m@https://gpu/v1?key={LOGIN}",
    f"opnai/m@https://gpu/v1?{LOGIN}",
    f"openai/m,api_key={LOGIN}",
    f"openai/m,{KEY}",
    f"openai/m,timeout={KEY}",
    f"openai/m,timeout=1,timeout={KEY}",
    f"openai/{KEY}",
    f"openai-batch/{KEY}",
    f"openai-batch/m,batch={KEY}",
    f"openai-batch/m,window={KEY}",
    f"litellm/{KEY}",
    f"litellm/openai/{KEY}",
    f"noise/{KEY}",
    f"noise/p={KEY}",
    f"embedded/{KEY}",
    f"embeded/{KEY}",
    KEY,
    "4f1e9b2c7d8a6053aa174f1e9b2c7d8a",
    f"acme_models:Model,token={LOGIN}",
    f"acme_models:{KEY}",
]


def test_no_message_repeats_a_secret_of_mistyped_words(tmp_path, monkeypatch, capsys):
    """Passwords and keys in --model, PROCESS or --escalate are in no error, as text or JSON, and in no file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789abcdefghij")
    shown = []
    for words in MISTYPED:
        for command in (  # none of them gets as far as sending a request
            ["run", "hanoi", "--set", "disks=2", "--k", "1", "--patience", "0", "--model", words],
            ["run", "hanoi", "--set", "disks=2", "--k", "1", "--escalate", words, "--json"],
            ["run", words, "--k", "1", "--model", "noise/p=1"],
            ["calibrate", "hanoi", "--set", "disks=2", "--samples", "1", "--model", words],
            ["plan", "--steps", "10", "--model", words],
        ):
            code = command_line(command)
            said = "".join(capsys.readouterr())
            if code != 2 or any(secret in said for secret in (LOGIN, KEY, words[-16:])):
                shown.append((command, code, said))
    assert not shown, shown[0]
    assert not list(tmp_path.iterdir())
    for parse, spec in ((parse_spec, MISTYPED[10]), (parse_batch_spec, MISTYPED[14])):
        with pytest.raises(InputError) as raised:
            parse(spec)
        assert KEY not in str(raised.value)


def test_names_of_models_are_no_secrets():
    """Usual names of models are neither refused nor hidden."""
    for name in (
        "llama3.1:8b@http://127.0.0.1:11434/v1",
        "meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "m:free@preset/x",
    ):
        assert parse_spec(f"openai/{name}").name.startswith("openai/")
        assert without_secrets(f"no model is called 'openai/{name}'", {}) == f"no model is called 'openai/{name}'"
