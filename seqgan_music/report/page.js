"use strict";
// Each player: a playhead that follows the sound, and a roll that seeks, by pointer and by keyboard.
for (const player of document.querySelectorAll(".player")) {
  const audio = player.querySelector("audio");
  const roll = player.querySelector(".roll");
  const head = player.querySelector(".playhead");
  const scroll = player.querySelector(".scroll");
  const left = Number(roll.dataset.left);
  const rate = Number(roll.dataset.rate); // pixels a second
  const bar = Number(roll.dataset.bar); // seconds
  const last = Number(roll.getAttribute("aria-valuemax"));

  function draw() {
    const seconds = Math.min(audio.currentTime, last);
    const x = left + audio.currentTime * rate;
    head.style.transform = `translateX(${x}px)`;
    roll.setAttribute("aria-valuenow", seconds.toFixed(0));
    roll.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${last} seconds`);
    if (!audio.paused) {
      const inside = x - scroll.scrollLeft;
      if (inside < 0 || inside > scroll.clientWidth - 40) scroll.scrollLeft = x - left;
      requestAnimationFrame(draw);
    }
  }

  function seek(seconds) {
    audio.currentTime = Math.max(0, Math.min(seconds, last));
    draw();
  }

  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    draw();
  });
  audio.addEventListener("pause", draw);
  audio.addEventListener("seeked", draw);
  roll.addEventListener("click", (event) => {
    seek((event.clientX - roll.getBoundingClientRect().left - left) / rate);
    audio.play();
  });
  roll.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: bar, ArrowUp: bar, ArrowLeft: -bar, ArrowDown: -bar };
    if (event.key in moves) seek(audio.currentTime + moves[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(last);
    else if (event.key === " " || event.key === "Enter") audio.paused ? audio.play() : audio.pause();
    else return;
    event.preventDefault();
  });
  draw();
}
