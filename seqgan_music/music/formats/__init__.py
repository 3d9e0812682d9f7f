"""What a piece can be written as: one file a format, each a function from a Piece.

`midi.write_midi` writes a standard MIDI file, `roll.roll_svg` draws a piano roll, `audio.write_audio` plays into a
sound file.
"""
