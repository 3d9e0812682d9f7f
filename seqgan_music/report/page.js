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
    const x = left + audio.currentTime * rate;
    head.style.transform = `translateX(${x}px)`;
    tell();
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

  function toggle() {
    if (audio.paused) audio.play();
    else audio.pause();
  }

  const tell = slider(roll, { now: () => audio.currentTime, bar: () => bar, last: () => last, seek, toggle });
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
  draw();
}
