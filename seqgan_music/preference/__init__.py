"""What a person likes: thumbs kept in the run folder, and a small model of them that ranks new pieces.

    ratings.add(run, piece, liked=True)     one thumb more, in ratings.jsonl
    preference.fit(run)                     the model of all thumbs, in preference.json
    preference.load(run)                    the model as it was saved, or None
    model.score(piece)                      probability that the person likes the piece, 0 to 1

The model's score is the objective `liked` of `sample --prefer liked=1`.
"""

from __future__ import annotations

from seqgan_music.preference.taste import Preference, fit, load

__all__ = ["Preference", "fit", "load"]
