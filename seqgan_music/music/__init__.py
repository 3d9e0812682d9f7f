"""Everything musical: pieces, files, corpora, tokenizers. Never imports torch or `seqgan_music.learning`."""
