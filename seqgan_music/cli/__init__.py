"""The command line: one file a command, found by name; each is a thin call into the package.

A command's module defines `command`, a click command; `train_run.py` would be typed `train-run`.
Heavy imports (torch, music21, pretty_midi) stand inside the command's function, so that `--help` is instant.
A `SeqganMusicError` becomes one line on stderr and exit code 2; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from seqgan_music import __version__, choices
from seqgan_music.errors import SeqganMusicError, did_you_mean


class Commands(click.Group):
    """The commands are the files of this folder."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, as typed."""
        return [name.replace("_", "-") for name in choices.names(__name__)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the file of one command."""
        module = cmd_name.replace("-", "_")
        if module not in choices.names(__name__):
            raise click.UsageError(
                f"There is no command '{cmd_name}'.{did_you_mean(cmd_name, self.list_commands(ctx))}"
            )
        command: click.Command = import_module(f"{__name__}.{module}").command
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="seqgan-music")
def commands() -> None:
    r"""Learn a style from a folder of MIDI files and write new music in it, with a sequence GAN.

    \b
    seqgan-music train midi_data/          learn
    seqgan-music sample --out song.mid     write
    """


def main() -> None:
    """Run the command line; the entry point of `seqgan-music`."""
    try:
        commands(standalone_mode=False)
    except SeqganMusicError as error:
        click.echo(f"seqgan-music: {error}", err=True)
        sys.exit(2)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("seqgan-music: interrupted", err=True)
        sys.exit(130)
