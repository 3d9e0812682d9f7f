"""seqgan-music: learn a style from a folder of MIDI files and write new music in it, with a sequence GAN."""

__version__ = "0.1.0"
