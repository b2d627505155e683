// The keyboard, and the panel that says what it does; touch is the camera's and the buttons'.

const KEYS = [
  ["drag", "turn; with two fingers or the right button: move"],
  ["wheel, pinch", "nearer, farther"],
  ["← →", "before and after, or through time"],
  ["Space", "play, stop"],
  ["O", "overlay: all in one place"],
  ["C", "next colours; Shift+C the ones before"],
  ["1 … 9", "show or hide; as does a tap on a name"],
  ["F  S  B  T", "from the front, side, back, top"],
  ["U", "tip all by 90°; Shift+U: sideways"],
  ["Y", "turn all by 45°; ⟳ at a name: that one"],
  ["G", "go along with what moves, or show its way"],
  ["L", "what cleaning left out"],
  ["W", "triangles' edges"],
  ["D", "dark, light"],
  ["R", "as it was at first"],
  ["? Esc", "these keys"],
];

function listen(stage, bar) {
  for (const [key, does] of KEYS) byId("keys").append(element("dt", key), element("dd", does));
  const help = (wanted) => {
    byId("help").hidden = !wanted;
    byId("help-button").setAttribute("aria-expanded", String(wanted));
  };
  byId("help-button").onclick = () => help(byId("help").hidden);
  byId("close-help").onclick = () => help(false);
  const further = (by) => { bar.stop(); bar.go(Number(byId("slider").value) + by); };
  const does = {
    o: () => bar.overlay(),
    c: (event) => bar.colour(bar.chosen + (event.shiftKey ? -1 : 1)),
    f: () => stage.view("front"),
    s: () => stage.view("side"),
    b: () => stage.view("back"),
    t: () => stage.view("top"),
    u: (event) => tip(stage, event.shiftKey),
    y: () => bar.turn(),
    g: () => bar.follow(),
    l: () => bar.leftOut(),
    w: () => bar.wire(),
    d: () => bar.theme(),
    r: () => bar.reset(),
    "?": () => help(byId("help").hidden),
    escape: () => help(false),
    " ": () => bar.play(),
    arrowleft: () => further(-0.05),
    arrowright: () => further(0.05),
    home: () => further(-1),
    end: () => further(1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    const inField = event.target.matches && event.target.matches("select");
    if (inField || (key === " " && event.target.matches("button, summary"))) return;
    if (/^[1-9]$/.test(key)) bar.toggle(Number(key) - 1);
    else if (does[key]) does[key](event);
    else return;
    event.preventDefault();
  });
}

/** All files a quarter turn about the axis to their side, or to their front: so any axis comes up. */
function tip(stage, sideways) {
  stage.figures.forEach(({ subject }) => {
    const [side, up, front] = subject.rotation;
    const down = up.map((value) => -value);
    subject.rotation = sideways ? [down, side, front] : [side, front, down];
  });
  stage.place();
  stage.refit();
}
