"""Everything neural: models, rollouts, methods, the trainer. Never imports `seqgan_music.music`."""
