"""The command line: one file a command, found by name; each is a thin call into the package.

A command's module defines `command`, a click command; `train_run.py` would be typed `train-run`.
Heavy imports (torch, music21, pretty_midi) stand inside the command's function, so that `--help` is instant.
A `SeqganMusicError` or a wrong option becomes one line on stderr and exit code 2; anything else is a bug and
keeps its traceback.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from importlib import import_module
from traceback import walk_tb
from typing import NoReturn

import click

from seqgan_music import __version__, choices, documents, machine, memory
from seqgan_music.cli._terminal import end_on_interrupts, hear_interrupts
from seqgan_music.errors import SeqganMusicError, did_you_mean


class Commands(click.Group):
    """The commands are the files of this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, as typed."""
        return [name.replace("_", "-") for name in choices.names(__name__)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command."""
        if cmd_name not in self.list_commands(ctx):
            raise click.UsageError(
                f"There is no command '{cmd_name}'.{did_you_mean(cmd_name, self.list_commands(ctx))}", ctx
            )
        command: click.Command = import_module(f"{__name__}.{cmd_name.replace('-', '_')}").command
        # click leaves the lines after a backspace as they are; a raw docstring can only spell it.
        command.help = (command.help or "").replace("\\b\n", "\b\n")
        return command


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Learn a style from a folder of MIDI files and write new music in it, with a sequence GAN.

    \b
    Example:
      seqgan-music train midi_data/          learn
      seqgan-music sample --out song.mid     write
    """,
)
@click.version_option(__version__, prog_name="seqgan-music")
@click.pass_context
def commands(context: click.Context) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main() -> None:
    """Run the command line; the entry point of `seqgan-music`."""
    # torch's threads wait for each other in a busy loop. Where another program wants a core too, the loop takes
    # the time of the thread it waits for: an update took 740 ms instead of 18 (docs/log.md). Read when torch is
    # imported; a user's own setting stands.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be text that the terminal can show; stderr escapes such characters already.
        sys.stdout.reconfigure(errors="backslashreplace")
    memory.watch_imports()
    hear_interrupts()
    try:
        status = commands(prog_name="seqgan-music", standalone_mode=False)
        if sys.stdout:
            sys.stdout.flush()
    except SeqganMusicError as error:
        _fail(str(error))
    except click.UsageError as error:
        if machine.started_together() and os.environ["RANK"] != "0":
            _end(2)  # the first of them says it for all
        path = error.ctx.command_path if error.ctx else "seqgan-music"
        _fail(f"{' '.join(error.format_message().split())} See '{path} --help'.")
    except click.ClickException as error:
        _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        _end(130, "interrupted")
    except BrokenPipeError:
        _end(1)  # the reader (`head`, a closed pager) has what it wanted
    except Exception as error:
        if memory.exhausted(error):
            _fail("There is not enough memory for this. Close other programs, or ask for less at a time.")
        if isinstance(error, OSError) and _was_printing(error):
            _fail(
                f"Cannot print the result: {(error.strerror or str(error)).lower()}. Free some space, or send it"
                " elsewhere."
            )
        if isinstance(error, FileNotFoundError) and not _somewhere():
            _fail("The folder that this was started in is gone. Go to another one, and start it there.")
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            about = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "A file"
            _fail(f"{about} cannot be used: {documents.why(error)}.")
        raise
    except SystemExit as ended:
        _end(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    _end(status if isinstance(status, int) else 0)


_OF_THE_MACHINE = {
    getattr(errno, name, None)
    for name in ("EMFILE", "ENFILE", "ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "EACCES", "EPERM", "ELOOP")
}
"""What may befall any file at any time, wherever it is used: told in a line, though no one asked for that file."""


def _somewhere() -> bool:
    """Whether the working directory is still there: without it no relative name means anything."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _was_printing(error: BaseException) -> bool:
    """Whether it was results or messages that could not be written: files have errors of their own."""
    return any(frame.f_code is click.echo.__code__ for frame, _ in walk_tb(error.__traceback__))


def _fail(message: str) -> NoReturn:
    # A message may quote a file's name, which may hold line ends, terminal codes or bytes that are no text.
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in message)
    _end(2, line)


def _end(status: int, message: str = "") -> NoReturn:
    """End with a word on stderr, even where the streams fail: what they still hold would fail again at exit."""
    with suppress(OSError):
        if message:
            click.echo(f"seqgan-music: {message}", err=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    end_on_interrupts()
    machine.leave(status)
