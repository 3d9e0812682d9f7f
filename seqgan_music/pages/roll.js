// A roll as a slider: arrows move by a bar, Home and End to the ends, space and Enter play; a reader's voice is told.
const MOVES = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

// `now` gives the place in seconds, `bar` and `last` the seconds of a bar and of the whole, `seek` and `toggle` act.
// Returns what to call when the place has changed.
export function slider(roll, { now, bar, last, seek, toggle }) {
  roll.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in MOVES) seek(Math.max(0, Math.min(now() + MOVES[event.key] * bar(), last())));
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(last());
    else if (event.key === " " || event.key === "Enter") toggle();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return () => {
    const seconds = Math.min(now(), last());
    roll.setAttribute("aria-valuenow", seconds.toFixed(0));
    roll.setAttribute("aria-valuemax", last().toFixed(0));
    roll.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${last().toFixed(0)} seconds`);
  };
}
