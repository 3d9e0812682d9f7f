"""`python -m seqgan_music` is the same as the `seqgan-music` command."""

from seqgan_music.cli import main

if __name__ == "__main__":
    main()
