// Notices how smoothly the page draws: the time between two frames, and tasks that keep it from drawing.
window.bench = { frames: [], long: [], keys: [], seen: {}, wanted: {} };
{
  const bench = window.bench;
  let last;
  const frame = (now) => {
    if (last !== undefined) bench.frames.push([now, now - last]);
    last = now;
    // When something is there, in milliseconds since the page was asked for. Not in every frame: looking takes time.
    for (const [name, what] of bench.frames.length % 6 ? [] : Object.entries(bench.wanted)) {
      if (!(name in bench.seen) && document.querySelector(what)) bench.seen[name] = now;
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) bench.long.push([entry.startTime, entry.duration]);
  }).observe({ type: "longtask", buffered: true });
  // From the key to the frame that shows what it has written.
  addEventListener("keydown", (event) => {
    requestAnimationFrame(() => setTimeout(() => bench.keys.push([event.timeStamp, performance.now() - event.timeStamp])));
  }, { capture: true });
}
