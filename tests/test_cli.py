"""The command line as a whole: each command, found by its file, has help; a mistake is one line and exit code 2."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from conftest import ROOT, Run

from seqgan_music import choices, cli
from seqgan_music.errors import InputError, did_you_mean

COMMANDS = [name.replace("_", "-") for name in choices.names("seqgan_music.cli")]
HEAVY = ["torch", "music21", "pretty_midi", "mido", "scipy", "matplotlib"]

HELP_OF_ALL = """
import json, sys
from click.testing import CliRunner
from seqgan_music.cli import commands
told = {}
for name in ["", *json.loads(sys.argv[1])]:
    result = CliRunner().invoke(commands, [name, "--help"] if name else ["--help"], prog_name="seqgan-music")
    told[name] = {"exit": result.exit_code, "text": result.output,
                  "heavy": [m for m in json.loads(sys.argv[2]) if m in sys.modules]}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def helps() -> dict[str, dict[str, object]]:
    line = [sys.executable, "-c", HELP_OF_ALL, json.dumps(COMMANDS), json.dumps(HEAVY)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    told: dict[str, dict[str, object]] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_tells_what_it_does_and_gives_an_example(command: str, helps: dict[str, dict[str, object]]) -> None:
    text = str(helps[command]["text"])
    assert helps[command]["exit"] == 0
    assert text.startswith(f"Usage: seqgan-music {command}".rstrip())
    assert "\n  Example:\n" in text, f"the help of '{command}' has no line 'Example:' of its own"
    assert f"seqgan-music {command}".rstrip() in text.split("Example:")[1]
    assert r"\b" not in text, "in a raw docstring \\b reaches people; click wants the character"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str, helps: dict[str, dict[str, object]]) -> None:
    assert helps[command]["heavy"] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command: str) -> None:
    found = cli.commands.get_command(click.Context(cli.commands), command)
    assert found is not None
    silent = [p.name for p in found.params if isinstance(p, click.Option) and not (p.help or p.hidden)]
    assert silent == []


def test_the_list_of_commands_has_every_command_and_what_it_does(helps: dict[str, dict[str, object]]) -> None:
    listed = str(helps[""]["text"]).partition("Commands:\n")[2].splitlines()
    words = {line.split()[0]: line.split()[1:] for line in listed if line.startswith("  ") and line[2] != " "}
    assert sorted(words) == sorted(COMMANDS)
    assert all(words.values())


def test_no_command_shows_the_help(run: Run) -> None:
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == run("--help").stdout == run("-h").stdout


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_an_unknown_option_is_one_line(command: str, run: Run) -> None:
    done = run(*filter(None, [command]), "--surely-no-option")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "--surely-no-option" in done.stderr
    assert f"See '{f'seqgan-music {command}'.rstrip()} --help'." in done.stderr


@pytest.mark.parametrize("word", ["surely-no-command", *(name[:-1] + "x" for name in COMMANDS)])
def test_an_unknown_command_is_one_line_that_names_the_nearest(word: str, run: Run) -> None:
    done = run(word)
    assert (done.returncode, done.stdout) == (2, "")
    wanted = f"There is no command '{word}'.{did_you_mean(word, COMMANDS)} See 'seqgan-music --help'."
    assert done.stderr == f"seqgan-music: {wanted}\n"


def test_the_version(run: Run) -> None:
    from seqgan_music import __version__

    assert run("--version").stdout == f"seqgan-music, version {__version__}\n"


def in_main(monkeypatch: pytest.MonkeyPatch, action: object) -> int:
    """Exit code of `main` where the command line does `action`."""
    command = click.Command("seqgan-music", callback=action)  # type: ignore[arg-type]
    monkeypatch.setattr(cli, "commands", command)
    monkeypatch.setattr(sys, "argv", ["seqgan-music"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


def test_an_error_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        raise InputError("There is no folder a\nb\x1b[31m\udcff.")

    assert in_main(monkeypatch, action) == 2
    assert capsys.readouterr() == ("", "seqgan-music: There is no folder a\\nb\\x1b[31m\\udcff.\n")


def test_an_interruption_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> None:
        raise KeyboardInterrupt

    assert in_main(monkeypatch, action) == 130
    assert capsys.readouterr().err.strip() == "seqgan-music: interrupted"


def test_a_command_sets_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert in_main(monkeypatch, lambda: click.get_current_context().exit(3)) == 3
    assert in_main(monkeypatch, lambda: None) == 0


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def action() -> None:
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        in_main(monkeypatch, action)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EMFILE, "Too many open files", "lib/a.py"), "lib/a.py cannot be used: too many open files."),
        (OSError(errno.EIO, "Input/output error"), "A file cannot be used: input/output error."),
        (PermissionError(errno.EACCES, "Permission denied", b"music"), "music cannot be used: permission denied."),
    ],
)
def test_what_may_befall_any_file_is_one_line(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> None:
        raise error

    assert in_main(monkeypatch, action) == 2
    assert capsys.readouterr() == ("", f"seqgan-music: {said}\n")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere a folder in use cannot be removed")
def test_a_working_folder_that_is_gone_is_one_line(run: Run, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = "import os, sys; os.rmdir(os.getcwd()); from seqgan_music import cli; cli.main()"
    line = [sys.executable, "-c", script, "corpus", "folk", "--out", "new"]
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=gone, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("seqgan-music: The folder that this was started in is gone.")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="pipes of this kind are POSIX")
def test_a_closed_pipe_is_quiet(run: Run) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = run("--help", stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_that_are_no_text_can_be_printed(encoding: str, tmp_path: Path) -> None:
    script = (
        "import sys, click; from seqgan_music import cli; sys.argv[1:] = []\n"
        r"cli.commands = click.Command('x', callback=lambda: print('tune \udcff \u266b', flush=True)); cli.main()"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"tune \\udcff ")
