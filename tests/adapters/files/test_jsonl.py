"""JSON files: errors name file, line and reason, and written lines are valid JSON."""

import json
import math

import pytest

from accounts import Ledger
from unerring import InputError
from unerring.adapters.files.jsonl import json_line, read_objects
from unerring.adapters.plugins import parse_parameter
from unerring.adapters.prices import read_prices
from unerring.api.calibration.calibration_files import read_calibration
from unerring.cli.main import command_line

WRONG = {
    "bytes": (b'{"question": "\xff"}', "not text in UTF-8"),
    "half a character": (b'{"question": "\\ud800"}', "half a character"),
    "encoded half": (b'{"question": "\xed\xa0\x80"}', "not text in UTF-8"),
    "too large": (b'{"question": "1", "answer": 1e400}', "no number is as large as 1e400"),
    "NaN": (b'{"question": "1", "answer": NaN}', "NaN"),
    "infinity": (b'{"question": "1", "answer": -Infinity}', "Infinity"),
    "deep": (b'{"question": "1", "answer": ' + b"[" * 3000 + b"]" * 3000 + b"}", "nested"),
    "less deep": (b'{"question": "1", "answer": ' + b"[" * 400 + b"]" * 400 + b"}", "nested"),
    "key twice": (b'{"question": "1", "question": "2"}', "a key is given twice: 'question'"),
    "digits": (b'{"question": "1", "answer": ' + b"9" * 5000 + b"}", "digits"),
    "cut": (b'{"question": "1"', "this is no JSON"),
    "two in a line": (b'{"question": "1"} {"question": "2"}', "this is no JSON"),
    "no object": (b"[1]", "a JSON object is wanted"),
    "control": (b'{"question": "a\x0bb"}', "this is no JSON"),
    "old Mac": (b'{"question": "1"}\r{"question": "2"}', "this is no JSON"),
    "id twice": (b'{"question": "1", "id": 1}', "line 1 has the same id 1"),
}


@pytest.mark.parametrize("inside", ["solve", "example"])
def test_what_is_wrong_in_a_file_of_json_lines_gives_its_line_and_reason(tmp_path, capsys, inside):
    """Each mistake is refused in one line with file, line and reason, by solve and by an example's process."""
    path, failures = tmp_path / "in.jsonl", []
    for name, (line, reason) in WRONG.items():
        path.write_bytes(b'{"question": "2 * 3", "account": "a", "cents": 1}\n\n' + line + b"\n")
        if inside == "solve":
            code = command_line(["solve", "--input", str(path), "--out", str(tmp_path / "out.jsonl")])
            said = capsys.readouterr().err
            failures += [name] * (code != 2 or said.count("\n") != 1)
        else:
            if name == "id twice":
                continue
            with pytest.raises(InputError) as raised:
                Ledger(str(path))
            said = str(raised.value)
        failures += [f"{name}: {said}"] * (f"{path}, line 3: " not in said or reason not in said)
    assert not failures
    assert not (tmp_path / "out.jsonl").exists()


def test_lines_end_at_a_line_feed_only(tmp_path):
    """Other line separators may occur within a line; a byte order mark and carriage returns are dropped."""
    path = tmp_path / "in.jsonl"
    texts = ["a\u2028b\u2029c", "d\u0085e", "f\x1cg", "h\u000ci"]
    lines = [json.dumps({"text": text}, ensure_ascii=False).replace("\x1c", "\\u001c") for text in texts]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode() + b"\r\n \n")
    assert [row["text"] for _, row in read_objects(path)] == texts


def test_a_file_of_one_value_is_read_as_strictly(tmp_path):
    """A calibration or price file may begin with a byte order mark; mistakes are named with file and line."""
    path = tmp_path / "cal.json"
    for text, reason in (
        (b'\xef\xbb\xbf{"unerring_calibration": 1,\n "a": NaN}', "NaN"),
        (b'{"a": 1,\n "a": 2}', "a key is given twice: 'a'"),
        (b'{"a":\n\xff}', "line 2: it is not text"),
        (b'{"a":\n}', "line 2: Expecting value"),
        (b"[" * 3000, "nested"),
    ):
        path.write_bytes(text)
        with pytest.raises(InputError, match="cannot be used as a calibration") as raised:
            read_calibration(path)
        assert reason in str(raised.value)
        assert str(path) in str(raised.value)
    prices = tmp_path / "prices.toml"
    prices.write_bytes(b'\xef\xbb\xbf["openai/m"]\ninput = 1\noutput = 2\n')
    assert read_prices(prices)["openai/m"].output == 2
    prices.write_bytes(b'["openai/m"]\ninput = 1\n# \xff\n')
    with pytest.raises(InputError, match=r"prices\.toml, line 3: it is not text"):
        read_prices(prices)


def test_a_malformed_json_parameter_is_refused():
    """A parameter that starts like a list or an object is never taken for a text."""
    assert parse_parameter("a=NaN") == ("a", "NaN")
    for value in ('{"a": 1, "a": 2}', "[1e400]", "[1", "[" * 3000):
        with pytest.raises(InputError, match="the value of a is not JSON"):
            parse_parameter(f"a={value}")


def test_a_line_that_is_written_is_valid_json():
    """Surrogates, NaN, infinities and line ends are written so that every reader accepts the line."""
    for value in ("\ud800", "a\u2028\u0085b", {"p": math.nan, "q": [math.inf, (1.5,)]}, {"\udfff": "ü"}):
        for ascii_only in (True, False):
            line = json_line(value, ascii_only)
            assert len(line.encode().splitlines()) == len(line.splitlines()) == 1
            json.loads(line, parse_constant=pytest.fail)
    assert json_line("ü", ascii_only=False) == '"ü"'
    assert json_line({"p": math.nan}) == '{"p": null}'


def test_answers_of_a_file_whose_name_is_no_text_are_valid_json(tmp_path, monkeypatch, capsys):
    """A folder name that is not UTF-8 is escaped in the answers, and causes no traceback."""
    folder = tmp_path / "\udcff"
    folder.mkdir()
    (folder / "in.jsonl").write_text('{"question": "2 * 3"}\n')
    out = folder / "out.jsonl"
    code = command_line(["solve", "--input", str(folder / "in.jsonl"), "--out", str(out), "--k", "1"])
    assert code == 0, capsys.readouterr().err
    assert json.loads(out.read_text(encoding="utf-8"))["answer"] == 6
