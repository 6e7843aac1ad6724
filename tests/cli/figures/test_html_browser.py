"""The HTML page of a report in a real browser: it loads without errors, and fits the screen of a phone."""

import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest

import unerring
from unerring.cli.figures.html import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium is installed (Debian: apt-get install chromium)"),
]

# A frame as wide as a phone around the page, which is asked what overflows. The page itself has no script.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><pre id="sizes"></pre>
<iframe id="frame" src="PAGE" style="width: WIDTHpx; height: 800px; border: 0"></iframe>
<script>
addEventListener("load", () => {
  const page = document.getElementById("frame").contentDocument;
  const wide = [...page.querySelectorAll("*")].filter((one) => !one.closest("svg > *"));
  const overflows = wide.filter((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0);
  const scrolls = overflows.filter((one) => getComputedStyle(one).overflowX !== "visible");
  document.getElementById("sizes").textContent = JSON.stringify({
    page: page.documentElement.scrollWidth,
    scrolls: scrolls.map((one) => one.className),
    outside: wide.filter((one) => one.getBoundingClientRect().right > WIDTH + 1 && !one.closest(".scroll")).length,
    figures: page.querySelectorAll("svg").length,
  });
});
</script>
"""


def opened(path, folder, *more):
    """The document after chromium has loaded a page, and the messages on its console."""
    profile = f"--user-data-dir={folder / 'profile'}"
    words = (BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", profile, *more)
    done = subprocess.run(
        [*words, "--dump-dom", path.as_uri()], check=True, capture_output=True, text=True, timeout=100
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def measured(path, folder, width):
    """The widths of a page in a window of so many pixels."""
    frame = folder / "frame.html"
    frame.write_text(FRAME.replace("PAGE", path.as_uri()).replace("WIDTH", str(width)))
    document, console = opened(frame, folder, "--allow-file-access-from-files", "--window-size=1200,900")
    assert console == []
    return json.loads(re.search(r'<pre id="sizes">(.*?)</pre>', document)[1])


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    """The page of a run with dissent, flags, two voters, and a long parameter, question, answer and reason."""

    class Long(unerring.Hanoi):
        def subtask(self, state):
            asked = super().subtask(state)
            if asked is None:
                return None

            def read(text):
                try:
                    return asked.parse(text)
                except unerring.RedFlag as flag:
                    raise unerring.RedFlag(f"{flag.reason} {'r' * 250}") from None

            return replace(asked, compact=asked.compact + "q" * 500, parse=read)

        def rehearse(self, prompt):
            return super().rehearse(prompt.rstrip("q"))

        def parameters(self):
            return super().parameters() | {"note": "m" * 300, "words": "long words " * 30}

    folder = tmp_path_factory.mktemp("page")
    models = ["noise/p=0.8,v=0.8", "noise/p=0.9,v=0.9"]
    unerring.run(Long(disks=7), models, folder / "run.db", k=3, seed=4)
    write_report(folder / "run.db", folder / "run.html")
    return folder / "run.html"


def test_the_page_loads_without_errors(run_page, tmp_path):
    """The browser draws every figure, and its console is empty: the policy forbids nothing that the page needs."""
    document, console = opened(run_page, tmp_path)
    assert console == []
    assert document.count("<svg") == 5


def test_a_script_put_into_the_page_is_blocked(run_page, tmp_path):
    """A script put into the page does not run, and the console reports it."""
    broken = tmp_path / "broken.html"
    script = "<script>document.title = 'ran'</script></body>"
    broken.write_text(run_page.read_text(encoding="utf-8").replace("</body>", script), encoding="utf-8")
    document, console = opened(broken, tmp_path)
    assert "<title>ran</title>" not in document
    assert len(console) == 1


@pytest.mark.parametrize("width", [320, 400, 1000])
def test_nothing_but_tables_scrolls(run_page, tmp_path, width):
    """On a phone and on a desktop the page is as wide as its window, and only tables scroll sideways."""
    sizes = measured(run_page, tmp_path, width)
    assert sizes["page"] <= width
    assert set(sizes["scrolls"]) <= {"scroll"}
    assert sizes["outside"] == 0
    assert sizes["figures"] == 5
    if width == 320:
        assert sizes["scrolls"]


def test_a_box_that_is_too_wide_is_measured(run_page, tmp_path):
    """The measurement itself works: it reports a box of 700 pixels as wider than a phone."""
    broken = tmp_path / "broken.html"
    box = '<div style="width: 700px">wide</div></body>'
    broken.write_text(run_page.read_text(encoding="utf-8").replace("</body>", box), encoding="utf-8")
    sizes = measured(broken, tmp_path, 400)
    assert sizes["page"] > 700
    assert sizes["outside"] > 0
