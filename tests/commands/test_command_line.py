"""What all commands have in common: help, suggestions, notes, colors, completion."""

import re
import subprocess
from pathlib import Path

import program
import pytest
from omvsim.cli import MODULES
from omvsim.image import display
from program import Run

COMMANDS = list(MODULES)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_the_common_groups(command: str, omvsim: Run) -> None:
    done = omvsim(command, "--help")
    assert done.returncode == 0 and done.stderr == ""
    for option in ("-q, --quiet", "-v, --verbose", "--no-color"):
        assert f"  {option} " in done.stdout.split("\noutput:\n")[1]


@pytest.mark.parametrize(
    ("arguments", "end"),
    [
        (["chek"], ": did you mean check?"),
        (["run", "--fimware", "x", "y.py"], "unrecognized arguments: --fimware y.py: did you mean "
                                            "--firmware?"),
        (["check", "--last-faild"], "--last-faild: did you mean --last-failed?"),
        (["run", "--engine", "renod", "y.py"], ": did you mean renode?"),
        (["run", "a.py", "b.py"], "unrecognized arguments: b.py"),
        (["xyz"], "'keywords')"),
    ],
)  # fmt: skip
def test_what_was_meant(arguments: list[str], end: str, omvsim: Run) -> None:
    done = omvsim(*arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.splitlines()[-1].endswith(end)


def test_quiet_and_verbose(omvsim: Run, tmp_path: Path, image: Path) -> None:
    script = tmp_path / "s.py"
    script.write_text("import helper, socket\nsocket.getaddrinfo('example.com', 443)\nprint(1)\n")
    (tmp_path / "helper.py").write_text("")
    plain = omvsim("run", "--out", tmp_path / "a", script)
    assert re.sub("omvsim: running.*\\n", "", plain.stderr).splitlines() == [
        "omvsim: helper.py, which the script imports, goes to the camera, too",
        f"omvsim: evidence in {display(tmp_path / 'a')}",
    ]
    quiet = omvsim("run", "-q", "--out", tmp_path / "b", script)
    assert (quiet.stdout, quiet.stderr, quiet.returncode) == ("1\n", "", 0)
    verbose = omvsim("run", "-v", "--out", tmp_path / "c", script)
    told = [re.sub(r"[0-9.]+ s ", "", line) for line in verbose.stderr.splitlines()]
    assert "omvsim: camera > gateway: DNS query example.com" in told
    assert plain.stdout == verbose.stdout == "1\n"


def test_files_go_to_the_camera(omvsim: Run, tmp_path: Path, image: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)))
    script = tmp_path / "s.py"
    script.write_text("print(open('data.bin', 'rb').read() == bytes(range(256)))\n")
    done = omvsim("run", "--put", tmp_path / "data.bin", "--out", tmp_path / "a", script)
    assert done.stdout == "True\n"
    (tmp_path / "data.bin").unlink()
    again = omvsim("replay", tmp_path / "a")  # the evidence holds it
    assert again.returncode == 0, again.stdout + again.stderr
    gone = omvsim("run", "--put", tmp_path / "data.bin", script)
    assert gone.returncode == 2
    told = f"omvsim: {tmp_path / 'data.bin'}: No such file or directory: name a file to put on"
    assert gone.stderr == f"{told} the camera\n"


@pytest.mark.parametrize(
    ("options", "variables", "colored"),
    [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False)],
)
def test_colors(
    options: tuple[str, ...], variables: dict[str, str], colored: bool, tmp_path: Path, image: Path
) -> None:
    """Of ours; what the camera says keeps its controls visible."""
    script = tmp_path / "s.py"
    script.write_text("raise ValueError('\\x1b[31mred')\n")
    _, told = program.on_a_terminal(
        "run", *options, "--out", tmp_path / "o", script, TERM="xterm", **variables
    )
    assert (b"omvsim: \x1b[31mwhy:\x1b[0m ValueError" in told) == colored
    assert told.count(b"\x1b[31m") == colored and b"\\x1b[31mred" in told


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, omvsim: Run, tmp_path: Path) -> None:
    done = omvsim("--print-completion", shell)
    assert done.returncode == 0 and "bisect" in done.stdout and "last-failed" in done.stdout
    if shell == "bash":  # the one that is here
        (tmp_path / "c").write_text(done.stdout)
        ask = "source c; COMP_WORDS=(omvsim mis); COMP_CWORD=1; _shtab_omvsim; echo ${COMPREPLY[@]}"
        told = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True,
                              check=False)  # fmt: skip
        assert told.stdout == "misbehaviours\n", told.stderr


def test_the_page_of_keywords(omvsim: Run, tmp_path: Path) -> None:
    page = tmp_path / "keywords.html"
    assert omvsim("keywords", "--page", page).returncode == 0
    assert "Camera Should Print" in page.read_text()
    for wrong, why in (("/dev/null/k.html", "Not a directory: choose another place"),
                       ("k.pdf", "name it .html, .json or .xml")):  # fmt: skip
        done = omvsim("keywords", "--page", wrong)
        assert (done.returncode, done.stderr) == (2, f"omvsim: {wrong}: {why}\n")


def test_init_overwrites_nothing(omvsim: Run, tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text("mine")
    done = omvsim("init", tmp_path)
    told = f"omvsim: {tmp_path / 'client.py'}: is there already: --force overwrites it\n"
    assert (done.returncode, done.stderr) == (2, told)
    assert [path.name for path in tmp_path.iterdir()] == ["client.py"]
    other = tmp_path / "other"
    other.write_text("not mine")
    (tmp_path / "client.py").unlink()
    (tmp_path / "client.py").symlink_to(other)
    assert omvsim("init", "--force", tmp_path).returncode == 0
    assert other.read_text() == "not mine"
    assert (tmp_path / "client.py").read_text().startswith("# Runs on the camera")
