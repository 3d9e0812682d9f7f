"""What `import seqgan_music` offers: a thin face on the parts, for scripts and notebooks.

Quiet unless a `progress` function is given, never on stdout; what a caller can mend is a `SeqganMusicError`. Public
names are listed in `seqgan_music.__all__`. Heavy imports stand inside functions, as in the command line.
"""
