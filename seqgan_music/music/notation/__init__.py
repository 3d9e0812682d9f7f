"""Music as people read it: what a grid of notes needs to become a score, worked out on the grid.

`grid` finds a grid that written values fit, `rhythm` writes a voice of a bar as values with ties, tuplets and
beams, `voices` gives notes to staves and voices, `spelling` names pitches in a key, `layout` puts all together.
music21 only writes the result down (`formats.musicxml`): what it makes of a piano part by itself cannot be read.
"""
