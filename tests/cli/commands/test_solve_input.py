"""`unerring solve --input`: the effect of a fault in one line, and in the whole file, on the other problems."""

import json

PRODUCTS = ("12 * 12", "7 * 8", "6 * 9")


def written(path, questions):
    """A file of problems."""
    path.write_text("".join(json.dumps({"id": f"q{n}", "question": q}) + "\n" for n, q in enumerate(questions)))


def answers(tmp_path):
    """The lines of the file of answers."""
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def test_a_problem_that_cannot_be_solved_is_left_out_by_its_line(cli, tmp_path):
    """Its file, line and id are named and its row has the reason; the others are solved, with exit code 2."""
    written(tmp_path / "in.jsonl", ("12 * 12", "Why?", "Why not?", "Whither?", "Whence?", "7 * 8"))
    done = cli("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    assert done.code == 2
    assert 'left out: in.jsonl, line 2 (id "q1"): this problem needs a --model' in done.err
    assert done.err.splitlines()[-1].endswith("; 3 more like it; 2 of 6 solved")
    assert [line for line in done.err.splitlines() if " done" in line] == [
        "1 of 6 done",
        *(f"1 of 6 done, {left} left out" for left in range(1, 5)),
        "2 of 6 done, 4 left out",
    ]
    rows = answers(tmp_path)
    assert [row["answer"] for row in rows] == [144, None, None, None, None, 56]
    assert "this problem needs a --model" in rows[1]["error"]


def test_what_is_wrong_with_all_problems_stops_before_the_first(cli, tmp_path):
    """If no problem can be solved or the model is unknown, there is one message and no file of answers."""
    written(tmp_path / "in.jsonl", ("Why?", "Why not?"))
    done = cli("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    assert done.code == 2
    assert 'in.jsonl, line 1 (id "q0"): this problem needs' in done.line
    written(tmp_path / "in.jsonl", PRODUCTS + PRODUCTS)
    done = cli("solve", "--input", "in.jsonl", "--out", "out.jsonl", "--model", "embeded")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith("unerring: no model is called 'embeded'")
    assert not (tmp_path / "out.jsonl").exists()


def test_the_file_of_answers_is_of_this_file_of_problems(cli, tmp_path):
    """Answers to other problems are refused, with a few of them named; answers beyond --limit are kept."""
    call = ("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    written(tmp_path / "in.jsonl", PRODUCTS)
    assert cli(*call).code == 0
    assert cli(*call, "--limit", "1").code == 0
    assert len(answers(tmp_path)) == 3
    written(tmp_path / "in.jsonl", (PRODUCTS[0], "3 * 3"))
    done = cli(*call)
    assert done.code == 0
    assert "left out of out.jsonl: 2 answers to what in.jsonl does not hold (id q1)" in done.err
    before = (tmp_path / "out.jsonl").read_text()
    written(tmp_path / "in.jsonl", ("4 * 4",))
    done = cli(*call)
    assert done.code == 2
    assert "out.jsonl holds answers to other problems than those of in.jsonl" in done.line
    assert (tmp_path / "out.jsonl").read_text() == before


def test_an_empty_file_and_a_missing_folder_are_reported(cli, tmp_path):
    """A file without problems has nothing to do; a file that cannot be written is named with its option."""
    (tmp_path / "in.jsonl").touch()
    done = cli("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    assert (done.code, done.err) == (0, "nothing to do: in.jsonl holds no problem\n")
    written(tmp_path / "in.jsonl", PRODUCTS)
    done = cli("solve", "--input", "in.jsonl", "--out", "nosuch/out.jsonl")
    assert done.code == 2
    assert "cannot write the answers of --out nosuch/out.jsonl: No such file" in done.line


def test_another_seed_than_that_of_the_answers_is_named_as_it_was_given(cli, tmp_path):
    """The message has the seed as the user gave it, not the derived one of the problem."""
    written(tmp_path / "in.jsonl", PRODUCTS)
    call = ("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    assert cli(*call).code == 0
    done = cli(*call, "--seed", "3")
    assert done.code == 2
    assert "was begun with --seed 0, not 3" in done.line


def test_a_number_of_too_many_digits_is_refused_with_its_line(cli, tmp_path):
    """A JSON number with too many digits gives one error with its line."""
    (tmp_path / "in.jsonl").write_text('{"question": "7 * 8", "answer": ' + "9" * 5000 + "}\n")
    done = cli("solve", "--input", "in.jsonl", "--out", "out.jsonl")
    assert done.code == 2
    assert "in.jsonl, line 1: this is no JSON: a whole number in it has more than 4,300 digits" in done.line
    assert "sys." not in done.line
