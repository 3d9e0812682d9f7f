// A piece drawn as a piano roll: SVG in beats across and semitones upward, stretched to its frame.
const SVG = "http://www.w3.org/2000/svg";
const LEAST_ROWS = 20;

export function svg(name, attributes = {}, ...inside) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...inside);
  return made;
}

export function element(name, attributes = {}, ...inside) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...inside.filter((one) => one !== null && one !== undefined));
  return made;
}

export function icon(name) {
  return svg("svg", { "aria-hidden": "true" }, svg("use", { href: `#${name}` }));
}

function range(notes) {
  let low = 60, high = 60;
  if (notes.length) {
    low = Math.min(...notes.map((note) => note[2])) - 2;
    high = Math.max(...notes.map((note) => note[2])) + 2;
  }
  const missing = Math.max(0, LEAST_ROWS - (high - low + 1));
  return [low - Math.floor(missing / 2), high + Math.ceil(missing / 2)];
}

// Returns the picture, the drawn notes in the order of the piece's, and where octaves begin, from the top, 0 to 1.
export function roll(piece, { lines = true } = {}) {
  const [low, high] = range(piece.notes);
  const rows = high - low + 1;
  const inside = [];
  const primed = piece.primed ? piece.bars[piece.primed - 1][1] : 0;
  if (primed) inside.push(svg("rect", { class: "old", x: 0, y: 0, width: primed, height: rows }));
  if (piece.parent) {
    for (const bar of piece.new_bars) {
      const [start, end] = piece.bars[bar];
      inside.push(svg("rect", { class: "fresh", x: start, y: 0, width: end - start, height: rows }));
    }
  }
  const octaves = [];
  for (let pitch = Math.ceil(low / 12) * 12; pitch <= high; pitch += 12) octaves.push(pitch);
  if (lines) {
    const way = (places) => places.join("");
    inside.push(svg("path", { class: "octave-line", d: way(octaves.map((pitch) => `M0 ${high - pitch + 1}H${piece.beats}`)) }));
    inside.push(svg("path", { class: "bar-line", d: way(piece.bars.slice(1).map(([start]) => `M${start} 0V${rows}`)) }));
  }
  // A hair's breadth off the width lets repeated notes be told apart.
  const gap = piece.beats / 900;
  const notes = piece.notes.map(([onset, duration, pitch, velocity]) =>
    svg("rect", {
      x: onset,
      y: high - pitch + 0.06,
      width: Math.max(duration - gap, duration * 0.6),
      height: 0.88,
      opacity: (0.4 + (0.6 * velocity) / 127).toFixed(2),
    }),
  );
  inside.push(svg("g", { class: "notes" }, ...notes));
  const picture = svg("svg", { viewBox: `0 0 ${piece.beats} ${rows}`, preserveAspectRatio: "none", "aria-hidden": "true" }, ...inside);
  return { picture, notes, octaves: octaves.map((pitch) => ({ name: `C${pitch / 12 - 1}`, top: (high - pitch + 1) / rows })) };
}
